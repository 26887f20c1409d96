/** Reads the sources as data for the structural tests: files, imports, and the layer table of ARCHITECTURE.md. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const SRC = join(ROOT, 'src')

export interface Import {
  /** As written. */
  readonly specifier: string
  /** Path below src for relative imports, else null. */
  readonly target: string | null
  readonly isTypeOnly: boolean
}

export interface SourceFile {
  /** Below src, with forward slashes. */
  readonly path: string
  /** First folder, or the file itself at the top. */
  readonly folder: string
  readonly text: string
  /** Text without comments, for searching code. */
  readonly code: string
  readonly imports: readonly Import[]
}

/** All TypeScript files below src; tests and their helpers are left out. */
export function readSources(): SourceFile[] {
  return readdirSync(SRC, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(SRC, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter(path => !path.endsWith('.test.ts') && !path.includes('__fixtures__'))
    .sort()
    .map(readSource)
}

function readSource(path: string): SourceFile {
  const text = readFileSync(join(SRC, path), 'utf8')
  const code = withoutComments(text)
  return { path, folder: path.split('/')[0] as string, text, code, imports: importsOf(path, code) }
}

/** Removes comments, but not what looks like one inside a string. */
function withoutComments(text: string): string {
  const token =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
  return text.replace(token, match =>
    match.startsWith('/*') || match.startsWith('//') ? match.replace(/[^\n]/g, ' ') : match,
  )
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?((?:[\w*\s,]|\{[^}]*\})*?)\s*from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g

function importsOf(path: string, code: string): Import[] {
  return [...code.matchAll(IMPORT)].map(([, typeWord, names = '', from, bare, dynamic]) => {
    const specifier = (from ?? bare ?? dynamic) as string
    const named = /^\{([^}]*)\}$/
      .exec(names.trim())?.[1]
      ?.split(',')
      .filter(part => part.trim() !== '')
    const areAllTypes = named?.every(part => /^\s*type\s/.test(part)) ?? false
    return {
      specifier,
      target: specifier.startsWith('.')
        ? join(dirname(path), specifier).split(sep).join('/')
        : null,
      isTypeOnly: typeWord !== undefined || areAllTypes,
    }
  })
}

export interface Layers {
  readonly levelOf: ReadonlyMap<string, number>
  /** `a → b` for allowed imports within a layer. */
  readonly allowed: ReadonlySet<string>
}

/** The layer table of ARCHITECTURE.md. */
export function readLayers(): Layers {
  const rows = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')
    .split('\n')
    .filter(line => /^\| L\d/.test(line))
    .map(line => line.split('|').map(cell => cell.trim()))
  const levelOf = new Map<string, number>()
  const allowed = new Set<string>()
  for (const [, level, folders = '', extra = ''] of rows) {
    for (const [, folder] of folders.matchAll(/`([^`]+)`/g)) {
      levelOf.set(folder as string, Number(level?.slice(1)))
    }
    for (const [, from, to] of extra.matchAll(/`([^`]+)` → `([^`]+)`/g))
      allowed.add(`${from} → ${to}`)
  }
  return { levelOf, allowed }
}
