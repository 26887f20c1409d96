/** The configuration that holds now, and its exchange for another while requests are under way. Opens no port. */
import { stat } from 'node:fs/promises'
import {
  type Config,
  type ConfigSource,
  configHash,
  configPath,
  loadConfig,
  type SettingName,
} from '../config/index.ts'
import { isUnderstudyError } from '../errors.ts'
import { canonicalJson } from '../util/index.ts'
import { closeLeads, type Leads, type OpenLeadsOptions, openLeads, retireLeads } from './leads.ts'

export interface LiveConfig {
  readonly config: Config
  readonly hash: string
  readonly leads: Leads
  /** Why the newest file is not what holds; null where it is. */
  readonly error: string | null
  /**
   * Reads the file again. A wrong one changes nothing but `error`, and is reported.
   * @returns true where another configuration holds now
   */
  reload(): Promise<boolean>
  /** Reloads whenever the file changes, until the returned function is called. */
  watch(everyMs: number): () => void
  close(): Promise<void>
}

export interface LiveConfigOptions {
  readonly source: ConfigSource
  readonly leads: OpenLeadsOptions
  readonly log: (text: string) => void
  /** Tells what a reload changed, before the next request. */
  readonly onChange: (config: Config, hash: string) => void
}

/** Settings that only a start reads. */
const NEED_RESTART = [
  'host',
  'port',
  'workers',
  'databaseUrl',
  'durability',
  'recordTimeoutMs',
  'maxConcurrent',
  'maxQueued',
  'queueTimeoutMs',
  'drainSeconds',
  'logFormat',
  'logLevel',
  'encoder',
  'executionProvider',
] as const satisfies readonly SettingName[]

/** @throws config-invalid, and what opening leads throws */
export async function openLiveConfig(
  config: Config,
  { source, leads: leadOptions, log, onChange }: LiveConfigOptions,
): Promise<LiveConfig> {
  let current = { config, hash: configHash(config), leads: await openLeads(config, leadOptions) }
  let error: string | null = null
  let last: Promise<boolean> = Promise.resolve(false)

  const exchange = async (): Promise<boolean> => {
    try {
      const next = await loadConfig(source)
      error = null
      if (canonicalJson(next) === canonicalJson(current.config)) return false
      const leads = await openLeads(next, leadOptions, current.leads)
      const before = current
      current = { config: next, hash: configHash(next), leads }
      onChange(next, current.hash)
      void retireLeads(before.leads, leads).catch(cause =>
        log(`A lead could not be closed: ${cause}`),
      )
      log(
        `The configuration was reloaded from ${next.file ?? 'the environment'}.${restartNotice(before.config, next)}`,
      )
      return true
    } catch (cause) {
      const said = isUnderstudyError(cause)
        ? `${cause.message} ${cause.help ?? ''}`.trim()
        : String(cause)
      if (said !== error) log(`The configuration stays as it was: ${said}`)
      error = said
      return false
    }
  }
  const reload = (): Promise<boolean> => {
    last = last.then(exchange)
    return last
  }
  return {
    get config() {
      return current.config
    },
    get hash() {
      return current.hash
    },
    get leads() {
      return current.leads
    },
    get error() {
      return error
    },
    reload,
    watch: everyMs => watchFile(configPath(source), everyMs, reload),
    async close() {
      await last
      await closeLeads(current.leads)
    },
  }
}

function restartNotice({ settings: before }: Config, { settings: after }: Config): string {
  const changed = NEED_RESTART.filter(name => before[name] !== after[name])
  return changed.length === 0 ? '' : ` ${changed.join(', ')} will hold after a restart.`
}

/** Looks at times and size rather than being told: that works on network file systems and where a link is exchanged. */
function watchFile(path: string, everyMs: number, reload: () => Promise<unknown>): () => void {
  const mark = async (): Promise<string> => {
    const found = await stat(path).catch(() => null)
    return found === null ? 'none' : `${found.ino} ${found.size} ${found.mtimeMs}`
  }
  let seen: Promise<string> = mark()
  const timer = setInterval(async () => {
    const before = await seen
    const now = await mark()
    if (now === before) return
    seen = Promise.resolve(now)
    await reload()
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
