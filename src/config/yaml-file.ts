/** The configuration file's text: substitution, validation, and messages that name line, column and key. Opens no file. */
import {
  type Document,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml'
import { UnderstudyError } from '../errors.ts'
import { nearest } from '../util/index.ts'
import { type ConfigFile, fileSchema, knownKeys } from './schema.ts'

/** More references than any honest file has, and too few to blow up memory. */
const MAX_ALIASES = 100

/** Values that may only be given by substitution, by the path of their keys; `*` stands for any. */
const SECRET_PATHS: readonly (readonly string[])[] = [
  ['key'],
  ['lead-key'],
  ['upstreams', '*', 'api-key'],
  ['keys', '*', 'key'],
]

type Env = Readonly<Record<string, string | undefined>>

/** Faults of one file that are described. */
const MAX_SHOWN = 20

interface Source {
  readonly path: string
  readonly document: Document
  readonly lines: LineCounter
}

/**
 * Parses, substitutes and validates; `path` is only shown.
 * @throws config-invalid with file, line, column and key
 */
export function parseConfigFile(path: string, text: string, env: Env): ConfigFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const source: Source = { path, document, lines }
  const [broken] = document.errors
  if (broken !== undefined) {
    throw invalid(
      `${path}${placeOf(lines, broken.pos[0])} is not valid YAML: ${broken.message}.`,
      'check indentation, quotes and colons there.',
    )
  }
  substitute(source, env)
  const value = plainValue(source)
  if (value === null || value === undefined) return {}
  const parsed = fileSchema.safeParse(value)
  if (parsed.success) return parsed.data
  throw describeAll(source, parsed.error.issues)
}

/** Everything that is wrong at once, so that a file is not corrected one run at a time. */
function describeAll(source: Source, issues: readonly Issue[]): UnderstudyError {
  const misspelt = new Set(issues.flatMap(({ keys, path }) => (keys ? [path.join('.')] : [])))
  const each = issues.flatMap(issue => {
    if (issue.keys) return issue.keys.map(key => ({ ...issue, keys: [key] }))
    // What is said to be missing is there by another name.
    return misspelt.has(issue.path.join('.')) ? [] : [issue]
  })
  const errors = each.slice(0, MAX_SHOWN).map(issue => describeIssue(source, issue))
  const [only] = errors
  if (errors.length === 1) return only as UnderstudyError
  const more = each.length - errors.length
  const lines = errors.map(({ message, help }) => `${message} (${help})`)
  if (more > 0) lines.push(`${more} more of this kind.`)
  return invalid(lines.join('\n'), `correct these ${each.length} places.`)
}

/** Replaces `${NAME}` and `${NAME:-default}` in every value; `$${` stands for `${`. Keys and comments stay as they are. */
function substitute(source: Source, env: Env): void {
  visit(source.document, {
    Pair(_key, pair, ancestors) {
      // Anything that builds objects would drop or obey it.
      if (!isScalar(pair.key) || pair.key.value !== '__proto__') return
      const label = [...pathOf(ancestors, pair), '__proto__'].join('.')
      const place = placeOf(source.lines, pair.key.range?.[0] ?? 0)
      throw invalid(`${source.path}${place}: there is no setting '${label}'.`, 'remove it.')
    },
    Scalar(key, node, ancestors) {
      if (key === 'key' || typeof node.value !== 'string') return
      const path = pathOf(ancestors, node)
      const at = (): string =>
        `${source.path}${placeOf(source.lines, node.range?.[0] ?? 0)}: ${path.join('.')}`
      const raw = node.value
      const isSubstituted = /(?<!\$)\$\{/u.test(raw)
      if (!isSubstituted && SECRET_PATHS.some(secret => matches(secret, path))) {
        throw invalid(
          `${at()} holds a secret as it is.`,
          `write \${NAME} there, and set that environment variable.`,
        )
      }
      if (!raw.includes('${')) return
      node.value = scalarValue(node, raw, (name, fallback) => {
        if (name === null) {
          throw invalid(
            `${at()} holds a \${ that begins no substitution.`,
            `write \${NAME} or \${NAME:-DEFAULT}, or $\${ for the characters themselves.`,
          )
        }
        const found = env[name]
        if (found !== undefined && found !== '') return found
        if (fallback !== undefined) return fallback
        throw invalid(
          `${at()} needs the environment variable ${name}, which is not set.`,
          `set ${name}, or write \${${name}:-DEFAULT}.`,
        )
      })
    },
  })
}

/** `name` is null where what follows `${` is none. */
type Lookup = (name: string | null, fallback: string | undefined) => string

/** An unquoted value that is nothing but one substitution may become a number or a flag, as if it were written out. */
function scalarValue(node: Scalar, raw: string, lookup: Lookup): unknown {
  const text = raw.replace(
    /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/gu,
    (whole, name: string | undefined, fallback: string | undefined) =>
      whole === '$${' ? '${' : lookup(name ?? null, fallback),
  )
  const isAlone = node.type === 'PLAIN' && /^\$\{[^}]*\}$/u.test(raw)
  if (!isAlone) return text
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?(?:\d+\.?\d*|\.\d+)$/u.test(text) ? Number(text) : text
}

/** Keys and list indices from the top to a node. */
function pathOf(ancestors: readonly unknown[], node: unknown): readonly string[] {
  const path: string[] = []
  for (const [depth, ancestor] of ancestors.entries()) {
    const next = ancestors[depth + 1] ?? node
    if (isPair(ancestor)) path.push(isScalar(ancestor.key) ? String(ancestor.key.value) : '?')
    const items = (ancestor as { items?: readonly unknown[] }).items
    const index = items?.indexOf(next) ?? -1
    if (index >= 0 && !isPair(next)) path.push(String(index))
  }
  return path
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  return (
    pattern.length === path.length && pattern.every((step, i) => step === '*' || step === path[i])
  )
}

function plainValue({ path, document }: Source): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new UnderstudyError('config-invalid', `${path} cannot be resolved: ${why}.`, {
      help: `name every alias (*name) before its use, and use at most ${MAX_ALIASES}.`,
      cause,
    })
  }
}

interface Issue {
  readonly code?: string | undefined
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
  /** Of a key that is refused: why. */
  readonly issues?: readonly { readonly message: string }[]
}

function describeIssue({ path, document, lines }: Source, issue: Issue): UnderstudyError {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys?.[0] : undefined
  const at = unknown === undefined ? issue.path : [...issue.path, unknown]
  const offset = offsetOf(document, at)
  const place = `${path}${offset === null ? '' : placeOf(lines, offset)}`
  const label = at.map(String).join('.')
  if (unknown === undefined) {
    const subject = label === '' ? 'the file' : label
    const isMissing = at.length > 0 && !document.hasIn(at)
    const what = isMissing ? 'is missing' : sentence(issue)
    return invalid(`${place}: ${subject} ${what}.`, `correct ${subject} there.`)
  }
  const near = nearest(unknown, knownKeys(issue.path))
  return invalid(
    `${place}: there is no setting '${label}'.`,
    near === null ? 'remove it, or see docs/configuration.md.' : `did you mean '${near}'?`,
  )
}

function sentence({ message, path, code, issues }: Issue): string {
  if (path.length === 0) return 'must hold settings, one `name: value` a line'
  if (code === 'invalid_key') return `is no name: it ${issues?.[0]?.message ?? 'is refused'}`
  return /^(must|'|is|names)/.test(message) ? message : `is wrong: ${message}`
}

/** Where the key at a path stands, or its nearest parent that the file holds. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | null {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number] } | undefined
    if (node?.range != null) return node.range[0]
  }
  return null
}

function placeOf(lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset)
  return ` line ${line}, column ${col}`
}

function invalid(message: string, help: string): UnderstudyError {
  return new UnderstudyError('config-invalid', message, { help })
}
