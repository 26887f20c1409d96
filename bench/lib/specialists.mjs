/** Data folders with one live specialist each, learned once from Banking77 and kept below `.cache/bench`. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readDataset } from '../datasets.mjs'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const BIN = join(ROOT, 'bin/understudy.js')
const CACHE = join(ROOT, '.cache/bench')

/** Name of the declared task that the specialists answer. */
export const TASK = 'banking77'

/** Environment in which no encoder is to be had, so that learning makes a reflex. */
export function withoutModels() {
  const models = join(CACHE, 'no-models')
  mkdirSync(models, { recursive: true })
  return { UNDERSTUDY_OFFLINE: '1', UNDERSTUDY_MODELS: models }
}

/** Texts and labels of Banking77. */
export function readTexts(data) {
  return readDataset('banking77', data)
}

/**
 * A copy of a data folder in which a specialist of this tier (`encoder`, `reflex`) is live; learns where there is none.
 * @param {{ tier: 'encoder' | 'reflex', data: string, into: string }} options
 */
export function folderWith({ tier, data, into }) {
  const kept = join(CACHE, `data-${tier}`)
  if (!existsSync(join(kept, 'learned.json'))) learn(tier, data, kept)
  rmSync(into, { recursive: true, force: true })
  cpSync(kept, into, { recursive: true })
  return into
}

function learn(tier, data, folder) {
  process.stderr.write(`learning the ${tier} specialist …\n`)
  rmSync(folder, { recursive: true, force: true })
  const file = join(CACHE, 'banking77.jsonl')
  mkdirSync(CACHE, { recursive: true })
  writeFileSync(
    file,
    readTexts(resolve(data))
      .map(row => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  const args = ['learn', file, '--task', TASK, '--data', folder]
  const done = spawnSync(
    process.execPath,
    [BIN, ...args, '--budget', '10m', '--promote', '--json'],
    {
      encoding: 'utf8',
      maxBuffer: 1e9,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, ...(tier === 'reflex' ? withoutModels() : {}) },
    },
  )
  if (done.status !== 0) throw new Error(`learning ended with ${done.status}: ${done.stdout}`)
  writeFileSync(join(folder, 'learned.json'), done.stdout)
}

/** Throws where the specialist is not on stage: one that was learned by an older version is of no use. */
export async function requireLive(client, tier) {
  const { live } = await client.json('/understudy/v1/status')
  if (live.some(task => task.tier === tier)) return
  throw new Error(`no ${tier} is live: remove ${join(CACHE, `data-${tier}`)} to learn it again`)
}
