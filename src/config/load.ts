/** Reads the configuration: defaults, then the file, then the environment. Says line and key of what is wrong. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Document, LineCounter, parseDocument } from 'yaml'
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import { canonicalJson, nearest } from '../util/index.ts'
import { DEFAULT_PRICES, type PriceTable } from './prices.ts'
import { type ConfigFile, fileSchema, knownKeys, settingSchema } from './schema.ts'
import {
  fileName,
  SETTINGS,
  type SettingName,
  type SettingSpec,
  type Settings,
} from './settings.ts'

/** A task that requests are bound to by name; null: only a header binds it. */
export interface DeclaredTask {
  readonly name: string
  readonly match: {
    readonly app?: string
    readonly model?: string
    readonly system?: string
  } | null
}

export interface Config {
  readonly settings: Settings
  /** Callers' keys, those of the file and `settings.key`. */
  readonly keys: readonly { readonly key: string; readonly app: string | null }[]
  readonly tasks: readonly DeclaredTask[]
  /** US dollars per million tokens by model. */
  readonly prices: PriceTable
  /** The file that was read, null where there is none. */
  readonly file: string | null
}

export interface ConfigSource {
  readonly dataDir: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Must exist when given; default `understudy.yaml` in the data folder, which need not. */
  readonly file?: string | undefined
}

const MAX_FILE_BYTES = 2 ** 20
/** More references than any honest file has, and too few to blow up memory. */
const MAX_ALIASES = 100

/** @throws config-invalid with file, line and key; or with the environment variable */
export async function loadConfig({ dataDir, env, file }: ConfigSource): Promise<Config> {
  const path = file ?? join(dataDir, 'understudy.yaml')
  const text = await readText(path, file !== undefined)
  const content = text === null ? {} : parseFile(path, text)
  const settings = mergeSettings(content, env)
  const fileKeys = (content.keys ?? []).map(({ key, app }) => ({ key, app: app ?? null }))
  return {
    settings,
    keys: settings.key === null ? fileKeys : [{ key: settings.key, app: null }, ...fileKeys],
    tasks: (content.tasks ?? []).map(({ name, match }) => ({
      name,
      match: (match as DeclaredTask['match']) ?? null,
    })),
    prices: { ...DEFAULT_PRICES, ...filePrices(content) },
    file: text === null ? null : path,
  }
}

/** SHA-256 of everything that decides how requests are answered; secrets are left out. */
export function configHash({ settings, tasks, prices }: Config): string {
  const open = Object.fromEntries(
    Object.entries(settings).filter(([name]) => !isSecret(name as SettingName)),
  )
  return sha256(canonicalJson({ settings: open, tasks, prices }))
}

/** True for settings that must not be shown. */
export function isSecret(name: SettingName): boolean {
  return (SETTINGS[name] as SettingSpec).isSecret === true
}

function filePrices({ prices }: ConfigFile): PriceTable {
  return Object.fromEntries(
    Object.entries(prices ?? {}).map(([model, { input, output }]) => [
      model,
      { inUsd: input, outUsd: output },
    ]),
  )
}

async function readText(path: string, isRequired: boolean): Promise<string | null> {
  try {
    const { size } = await stat(path)
    if (size > MAX_FILE_BYTES) {
      throw invalid(`${path} is larger than 1 MiB.`, 'check that it is a configuration file.')
    }
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof UnderstudyError) throw error
    if (!isRequired && (error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new UnderstudyError(
      'config-invalid',
      `${path} cannot be read: ${(error as Error).message}.`,
      {
        help: 'check the path and the permissions.',
        cause: error,
      },
    )
  }
}

function parseFile(path: string, text: string): ConfigFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [broken] = document.errors
  if (broken !== undefined) {
    const { line } = lines.linePos(broken.pos[0])
    throw invalid(
      `${path} line ${line} is not valid YAML: ${broken.message}.`,
      'check indentation, quotes and colons there.',
    )
  }
  const value = plainValue(path, document)
  if (value === null || value === undefined) return {}
  const parsed = fileSchema.safeParse(value)
  if (parsed.success) return parsed.data
  throw describeIssue(path, document, lines, parsed.error.issues[0] as Issue)
}

function plainValue(path: string, document: Document): unknown {
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
}

function describeIssue(
  path: string,
  document: Document,
  lines: LineCounter,
  issue: Issue,
): UnderstudyError {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys?.[0] : undefined
  const at = unknown === undefined ? issue.path : [...issue.path, unknown]
  const line = lineOf(document, lines, at)
  const place = `${path}${line === null ? '' : ` line ${line}`}`
  const label = at.map(String).join('.')
  if (unknown === undefined) {
    const subject = label === '' ? 'the file' : label
    return invalid(`${place}: ${subject} ${sentence(issue)}.`, `correct ${subject} there.`)
  }
  const near = nearest(unknown, knownKeys(issue.path) ?? [])
  return invalid(
    `${place}: there is no setting '${label}'.`,
    near === null ? 'remove it, or see `understudy config --help`.' : `did you mean '${near}'?`,
  )
}

function sentence({ message, path }: Issue): string {
  if (path.length === 0) return 'must hold settings, one `name: value` a line'
  return /^(must|'|is)/.test(message) ? message : `is wrong: ${message}`
}

/** Line of the key at a path, or of its nearest parent that the file holds. */
function lineOf(
  document: Document,
  lines: LineCounter,
  path: readonly PropertyKey[],
): number | null {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number] } | undefined
    if (node?.range != null) return lines.linePos(node.range[0]).line
  }
  return null
}

function mergeSettings(content: ConfigFile, env: ConfigSource['env']): Settings {
  const values: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(SETTINGS) as [SettingName, SettingSpec][]) {
    const fromFile = (content as Record<string, unknown>)[fileName(name)]
    const fromEnv = env[spec.env]
    values[name] =
      fromEnv !== undefined && fromEnv !== ''
        ? environmentValue(spec, fromEnv)
        : (fromFile ?? spec.default)
  }
  return values as Settings
}

function environmentValue(spec: SettingSpec, text: string): unknown {
  const value = spec.type === 'number' ? Number(text) : spec.type === 'flag' ? flag(text) : text
  const parsed = settingSchema(spec).safeParse(value)
  if (parsed.success) return parsed.data
  const shown = spec.isSecret === true ? '' : `, and is '${text}'`
  throw invalid(
    `${spec.env} ${parsed.error.issues[0]?.message}${shown}.`,
    `correct or unset the environment variable ${spec.env}.`,
  )
}

function flag(text: string): unknown {
  if (/^(1|true|yes|on)$/i.test(text)) return true
  return /^(0|false|no|off)$/i.test(text) ? false : text
}

function invalid(message: string, help: string): UnderstudyError {
  return new UnderstudyError('config-invalid', message, { help })
}
