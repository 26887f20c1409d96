/** Puts the whole house together for one data folder: workspace, lead, cascade, gateway. Decides nothing itself. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Access, Keys } from '../access/index.ts'
import { type Cascade, createCascade, type LiveTask } from '../cascade/index.ts'
import { type Config, loadConfig } from '../config/index.ts'
import { isUnderstudyError, UnderstudyError, unreachable } from '../errors.ts'
import { encoderName } from '../learn/index.ts'
import type { Lead } from '../runtimes/index.ts'
import { describeTrace } from '../tasks/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import {
  type OpenWorkspaceOptions,
  type OwnedWorkspace,
  openWorkspace,
  type Workspace,
} from '../workspace/index.ts'
import { openAccess, openFolderKeys } from './access-options.ts'
import { createAnswerCache } from './answer-cache.ts'
import { createGateway, type Gateway } from './app.ts'
import { isLoopback } from './callers.ts'
import { extended } from './context.ts'
import { createEmbedder } from './embedder.ts'
import type { JobRunner } from './jobs.ts'
import type { OpenLeadsOptions } from './leads.ts'
import { checkListenable, type Listening, type ListenOptions } from './listen.ts'
import { type LiveConfig, openLiveConfig } from './live-config.ts'
import { type LogSinks, limitsOf, logOf, telemetryOf } from './observe-options.ts'
import type { OpenProgress } from './open-lead.ts'
import { createSpecialistLoader, type SpecialistLoader } from './specialists.ts'
import { createWork } from './work.ts'
import { startWorkers, type Workers } from './workers.ts'

/** What jobs and the loading of specialists may use. */
export interface House {
  readonly workspace: OwnedWorkspace
  /** What holds now; a reload replaces it. */
  readonly config: Config
  readonly cascade: Cascade
  /** Puts on stage what the store says is live; call it after a promotion or a roll-back. */
  readonly refreshLive: () => Promise<void>
}

export interface OpenUnderstudyOptions extends LogSinks {
  readonly dataDir: string
  /** Default: the process's. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly configFile?: string
  /** `URL`, `replay:FILE` or `local:MODEL`, in place of the configuration's; or a lead, which is closed with the rest. */
  readonly lead?: string | Lead | null
  /** Where `listen` will listen, in place of the configuration's; without it, nothing is checked beforehand. */
  readonly listen?: Partial<ListenOptions>
  readonly clock?: Clock
  /** Default: opens the specialists that the store says are live. */
  readonly loadLive?: (house: Pick<House, 'workspace' | 'config'>) => Promise<readonly LiveTask[]>
  /** Long work by kind; default: importing and learning. */
  readonly jobs?: (house: House) => Readonly<Record<string, JobRunner>>
  /** Processes that serve the port, in place of the configuration's. */
  readonly workers?: number
  /** In a worker: who it is, and what it uses of the process that owns the data folder. */
  readonly worker?: WorkerParts
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: OpenProgress) => void
}

export interface WorkerParts {
  readonly number: number
  readonly owner: Lead
  readonly openWorkspace: (options: OpenWorkspaceOptions) => Promise<Workspace>
}

export interface Understudy extends House {
  /** The HTTP application: callable in process, and able to listen. */
  readonly gateway: Gateway
  /** Opens the port that options or configuration name, and lets other processes on this folder find it. @throws usage-invalid */
  listen(): Promise<Listening>
  /** Reads the configuration file again; a wrong one changes nothing and is reported. @returns true where something changed */
  reload(): Promise<boolean>
  /** Closes everything in order; what is under way is recorded first. */
  close(): Promise<void>
}

/** Between two tries to read what is live from a database that is away. */
const RETRY_MS = 5_000

/** How often the configuration file is looked at. */
const WATCH_MS = 1_000

/** How long a specialist that left the stage may finish what it was asked. */
const LEAVING_MS = 5_000

/**
 * Opens a data folder with everything that serves it.
 * @throws config-invalid, data-folder-busy, ledger-unwritable, file-unreadable, usage-invalid, and what opening a local model throws
 */
export async function openUnderstudy(options: OpenUnderstudyOptions): Promise<Understudy> {
  const { dataDir, env = process.env, configFile, clock = systemClock } = options
  const { jobs = createWork } = options
  const source = { dataDir, env, file: configFile }
  const config = await loadConfig(source)
  const logs = logOf(options, config, clock)
  const { log } = logs
  const loader = createSpecialistLoader(log, config.settings)
  const { loadLive = ({ workspace }) => loader.load(workspace) } = options
  const { databaseUrl, durability } = config.settings
  const keys = await openFolderKeys(dataDir, config, clock)
  const { host = config.settings.host, port = config.settings.port } = options.listen ?? {}
  if (options.listen !== undefined) {
    checkListenable({ host, port, hasKeys: keys.areRequired })
  }
  if (options.loadLive === undefined) loader.warm(dataDir)
  let onChange: (config: Config, hash: string) => void = () => {}
  const live = await openLiveConfig(config, {
    source,
    leads: leadOptions(options, env, clock),
    log,
    onChange: (...change) => onChange(...change),
  }).catch(async error => {
    await loader.close()
    throw error
  })
  const { worker } = options
  const workspace = await openFolder(worker, {
    dataDir,
    describe: describeTrace,
    durability: durability === 'sync' ? 'sync' : 'group',
    clock,
    ...(databaseUrl === null ? {} : { databaseUrl }),
  }).catch(async error => {
    await live.close()
    await loader.close()
    throw error
  })
  const stop = new AbortController()
  let access: Access | null = null
  try {
    const { prices } = config
    const opened = await openAccess(dataDir, {
      keys,
      prices,
      clock,
      log,
      timeoutMs: config.settings.recordTimeoutMs,
      worker: worker?.number ?? null,
    })
    access = opened
    const cascade = createCascade({ configHash: live.hash, bindings: config.tasks, clock })
    const cache = createAnswerCache(config.cache, clock)
    onChange = (next, configHash) => {
      cascade.configure({ configHash, bindings: next.tasks })
      opened.configure(next)
      cache.configure(next.cache)
    }
    let isStageOpen = false
    let workers: Workers | null = null
    const workerCount = options.workers ?? config.settings.workers
    const refresh = async (): Promise<void> => {
      const before = cascade.live()
      const after = await loadLive({ workspace, config: live.config })
      cascade.setLive(after)
      const kept = new Set(after.map(task => task.specialist))
      const leaving = before.map(task => task.specialist).filter(one => !kept.has(one))
      if (leaving.length > 0) void closeLater(leaving, log)
      isStageOpen = true
      workers?.refresh()
    }
    let last: Promise<void> = Promise.resolve()
    // One after another, so that an older reading never replaces a newer one.
    const refreshLive = (): Promise<void> => {
      last = last.catch(() => undefined).then(refresh)
      return last
    }
    await openStage(refreshLive, stop.signal, log)
    const house: House = {
      workspace,
      cascade,
      refreshLive,
      get config() {
        return live.config
      },
    }
    const gateway = createGateway({
      workspace,
      cascade,
      get lead() {
        return live.leads.lead
      },
      get upstreams() {
        return live.leads.upstreams
      },
      get leadHasKey() {
        return live.config.settings.leadKey !== null
      },
      keys: [],
      access: opened,
      isExposed: !isLoopback(host),
      cache,
      jobs: jobs(house),
      clock,
      get configHash() {
        return live.hash
      },
      get configError() {
        return live.error
      },
      get limits() {
        return limitsOf(live.config)
      },
      allowedHosts: [],
      log,
      telemetry: telemetryOf(logs, () => live.config.prices, env, String(worker?.number ?? 0)),
      ...(worker && { owner: worker.owner }),
      ...(workerCount > 1 && { peers: async () => (await workers?.stats()) ?? [] }),
      isStageOpen: () => isStageOpen,
      localAnswer: createEmbedder({
        names: [encoderName(config.settings.encoder)],
        open: () => loader.encoder(),
      }),
    })
    const listen = async (): Promise<Listening> => {
      if (workerCount > 1) {
        workers = await startWorkers({
          count: workerCount,
          // The process's own environment is no plain object, and does not travel.
          order: {
            dataDir,
            env: { ...env },
            configFile,
            lead: workerLead(options, config),
            host,
            port,
          },
          workspace,
          gateway,
          clock,
          log,
        })
      }
      const listening = workers ?? (await gateway.listen({ host, port }))
      // A full disk costs other commands the address, never callers the gateway.
      await workspace
        .setAddress(listening.address)
        .catch(error => log(`Other commands do not find this gateway yet: ${error}`))
      const unwatch = live.watch(WATCH_MS)
      if (worker !== undefined) rereadKeys(keys, stop.signal)
      stop.signal.addEventListener('abort', unwatch, { once: true })
      const graceMs = config.settings.drainSeconds * 1000
      return {
        address: listening.address,
        close: (how = {}) => listening.close({ graceMs, ...how }),
      }
    }
    return extended(house, {
      gateway,
      listen,
      reload: live.reload,
      close: closer(house, { gateway, live, loader, stop, access: opened }),
    })
  } catch (error) {
    stop.abort()
    await live.close()
    await loader.close()
    await access?.close()
    await workspace.close()
    throw error
  }
}

/** A worker uses the owner's database, and does nothing that only an owner may. */
async function openFolder(
  worker: WorkerParts | undefined,
  options: OpenWorkspaceOptions,
): Promise<OwnedWorkspace> {
  if (worker === undefined) return openWorkspace(options)
  const ownersOnly = (): never => unreachable('done by a worker' as never)
  return {
    ...(await worker.openWorkspace(options)),
    setAddress: async () => {},
    serveChild: ownersOnly,
    rebuild: async () => ownersOnly(),
  }
}

/** Keys are made and revoked by the owner of the folder; its workers know within a second. */
function rereadKeys(keys: Keys, signal: AbortSignal): void {
  const timer = setInterval(() => void keys.reread().catch(() => undefined), WATCH_MS).unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

/** The lead as each worker opens it. @throws usage-invalid for one that only one process can have */
function workerLead(
  { lead }: OpenUnderstudyOptions,
  { settings }: Config,
): string | null | undefined {
  const named = lead === undefined ? settings.lead : lead
  if (named === null || (typeof named === 'string' && !named.startsWith('local:'))) {
    return lead as string | null | undefined
  }
  throw new UnderstudyError(
    'usage-invalid',
    'Several workers cannot share a lead on this machine.',
    {
      help: 'Use one worker, or serve the model by a server of its own and name its URL.',
    },
  )
}

/** While the database is away everything goes to the lead; specialists come on stage once it is back. */
async function openStage(
  refreshLive: () => Promise<void>,
  signal: AbortSignal,
  log: (text: string) => void,
): Promise<void> {
  try {
    await refreshLive()
  } catch (error) {
    if (!isUnderstudyError(error) || error.code !== 'store-unavailable') throw error
    log(`No specialist is live until the database answers: ${error.message}`)
    void retry(refreshLive, signal)
  }
}

async function retry(refreshLive: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(RETRY_MS, undefined, { ref: false, signal }).catch(() => undefined)
    if (signal.aborted) return
    if (
      await refreshLive().then(
        () => true,
        () => false,
      )
    )
      return
  }
}

function leadOptions(
  { dataDir, lead, signal, onProgress }: OpenUnderstudyOptions,
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock,
): OpenLeadsOptions {
  return {
    ...(lead === undefined ? {} : { lead }),
    dataDir,
    env,
    clock,
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  }
}

function closer(
  { workspace, cascade }: House,
  parts: {
    gateway: Gateway
    live: LiveConfig
    loader: SpecialistLoader
    stop: AbortController
    access: Access
  },
): () => Promise<void> {
  const { gateway, live, loader, stop, access } = parts
  let closed: Promise<void> | null = null
  const close = async (): Promise<void> => {
    stop.abort()
    await gateway.close()
    await live.close()
    await Promise.all(cascade.live().map(task => task.specialist.close()))
    await loader.close()
    await access.close()
    await workspace.close()
  }
  return () => {
    closed ??= close()
    return closed
  }
}

async function closeLater(
  specialists: readonly { close(): Promise<void> }[],
  log: (text: string) => void,
): Promise<void> {
  await sleep(LEAVING_MS, undefined, { ref: false })
  for (const specialist of specialists) {
    await specialist.close().catch(error => log(`A specialist could not be closed: ${error}`))
  }
}
