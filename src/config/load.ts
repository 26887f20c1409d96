/** Reads the configuration: defaults, then the file, then the environment. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import { canonicalJson } from '../util/index.ts'
import { type ConfigKey, configKey } from './keys.ts'
import { DEFAULT_PRICES, type PriceTable } from './prices.ts'
import {
  type CacheConfig,
  cacheConfig,
  type RouteConfig,
  routeConfig,
  type UpstreamConfig,
  upstreamConfig,
} from './routing.ts'
import { type ConfigFile, settingSchema } from './schema.ts'
import {
  fileName,
  SETTINGS,
  type SettingName,
  type SettingSpec,
  type Settings,
} from './settings.ts'
import { parseConfigFile } from './yaml-file.ts'

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
  readonly keys: readonly ConfigKey[]
  readonly upstreams: readonly UpstreamConfig[]
  readonly routes: readonly RouteConfig[]
  readonly cache: CacheConfig
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

/** The file that a source names, there or not. */
export function configPath({ dataDir, file }: ConfigSource): string {
  return file ?? join(dataDir, 'understudy.yaml')
}

/** @throws config-invalid with file, line, column and key; or with the environment variable */
export async function loadConfig(source: ConfigSource): Promise<Config> {
  const { env, file } = source
  const path = configPath(source)
  const text = await readText(path, file !== undefined)
  const content = text === null ? {} : parseConfigFile(path, text, env)
  const settings = mergeSettings(content, env)
  const fileKeys = (content.keys ?? []).map(configKey)
  return {
    settings,
    keys:
      settings.key === null
        ? fileKeys
        : [configKey({ key: settings.key, name: 'UNDERSTUDY_KEY' }, 0), ...fileKeys],
    upstreams: Object.entries(content.upstreams ?? {}).map(row => upstreamConfig(...row)),
    routes: Object.entries(content.routes ?? {}).map(row => routeConfig(...row)),
    cache: cacheConfig(content.cache),
    tasks: (content.tasks ?? []).map(({ name, match }) => ({
      name,
      match: (match as DeclaredTask['match']) ?? null,
    })),
    prices: { ...DEFAULT_PRICES, ...filePrices(content) },
    file: text === null ? null : path,
  }
}

/** SHA-256 of everything that decides how requests are answered; secrets are left out. */
export function configHash({ settings, tasks, prices, upstreams, routes }: Config): string {
  const open = Object.fromEntries(
    Object.entries(settings).filter(([name]) => !isSecret(name as SettingName)),
  )
  const servers = upstreams.map(({ apiKey: _, ...rest }) => rest)
  // Without upstreams, as it was before there were any: certificates and traces compare these.
  const routing = servers.length === 0 && routes.length === 0 ? {} : { upstreams: servers, routes }
  return sha256(canonicalJson({ settings: open, tasks, prices, ...routing }))
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
    throw new UnderstudyError('config-invalid', `${path} cannot be read: ${whyUnread(error)}.`, {
      help: 'check the path and the permissions.',
      cause: error,
    })
  }
}

/** What people get wrong most, without the words of the operating system. */
function whyUnread(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'there is no such file'
  if (code === 'EISDIR') return 'it is a folder'
  if (code === 'EACCES') return 'this user may not read it'
  return message
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
