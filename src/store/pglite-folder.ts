/**
 * Opens PGlite in a folder, or makes one. Making an empty database costs four seconds of computing, copying one a tenth
 * of that (2026-11-23), so the first one made is kept as a template in the user's cache.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import { sha256 } from '../platform/index.ts'
import { randomHex } from '../util/index.ts'

/** In a finished folder; one whose first start was killed half-way has none. */
const MARKER = 'understudy.ready'

/**
 * Opens the database. It is a projection of the ledger, so a folder that cannot be used is put aside and begun anew.
 * @throws PGlite's or the file system's error
 */
export async function openPgliteFolder(folder: string): Promise<PGlite> {
  if (existsSync(join(folder, MARKER))) {
    const opened = await PGlite.create(folder).catch(() => null)
    if (opened !== null) return opened
  }
  const aside = `${folder}.broken`
  rmSync(aside, { recursive: true, force: true })
  if (existsSync(folder)) renameSync(folder, aside)
  const made = (await copyTemplate(folder)) ?? (await makeFolder(folder))
  writeFileSync(join(folder, MARKER), '')
  rmSync(aside, { recursive: true, force: true })
  return made
}

async function copyTemplate(folder: string): Promise<PGlite | null> {
  const template = templatePath()
  if (!existsSync(template)) return null
  try {
    cpSync(template, folder, { recursive: true })
  } catch {
    // Most likely a full disk, which is not the template's fault.
    return null
  }
  try {
    return await PGlite.create(folder)
  } catch {
    rmSync(template, { recursive: true, force: true })
    return null
  }
}

async function makeFolder(folder: string): Promise<PGlite> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const made = await PGlite.create(folder)
  await made.close()
  keepAsTemplate(folder)
  return PGlite.create(folder)
}

/** Best effort: a cache that cannot be written only costs time. */
function keepAsTemplate(folder: string): void {
  const template = templatePath()
  const temporary = `${template}.${randomHex(6)}`
  try {
    mkdirSync(dirname(template), { recursive: true, mode: 0o700 })
    cpSync(folder, temporary, { recursive: true })
    renameSync(temporary, template)
  } catch {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** One template per build of PGlite. */
function templatePath(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const manifest = new URL('../package.json', import.meta.resolve('@electric-sql/pglite'))
  const build = sha256(readFileSync(fileURLToPath(manifest))).slice(0, 12)
  return join(cache, 'understudy', `empty-database-${build}`)
}
