/** What the process that owns the data folder and its workers say to each other. Beside it runs the database's channel. */
import type { MetricFamily } from '../telemetry/index.ts'
import type { UpstreamState } from '../upstreams/index.ts'
import type { AnswerCache } from './answer-cache.ts'
import type { GatewayHealth } from './readiness.ts'
import type { Tally } from './tally.ts'

/** All that a worker needs to begin. */
export interface WorkerOrder {
  /** Counts from 1; a worker that follows a dead one has its number. */
  readonly number: number
  readonly dataDir: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly configFile: string | undefined
  /** In place of the configuration's. */
  readonly lead: string | null | undefined
  readonly host: string
  readonly port: number
  /** Where the owner answers what is asked about the gateway itself. */
  readonly ownerSocket: string
}

/** What one process knows of itself. */
export interface ProcessStats {
  readonly families: readonly MetricFamily[]
  readonly counts: Tally['counts']
  readonly unrecordedCount: number
  readonly health: GatewayHealth
  readonly upstreams: readonly UpstreamState[]
  readonly cache: AnswerCache['counts'] | null
}

export type ToWorker =
  | { readonly understudy: 'worker-start'; readonly order: WorkerOrder }
  | { readonly understudy: 'worker-stats'; readonly id: number }
  /** What is live has changed. */
  | { readonly understudy: 'worker-refresh' }
  | { readonly understudy: 'worker-stop'; readonly graceMs: number }

export type FromWorker =
  /** It listens to messages: what is sent to a cluster's worker before is lost. */
  | { readonly understudy: 'worker-begun' }
  | { readonly understudy: 'worker-ready'; readonly address: string }
  | {
      readonly understudy: 'worker-failed'
      readonly error: { readonly code: string; readonly message: string; readonly help?: string }
    }
  | { readonly understudy: 'worker-stats'; readonly id: number; readonly stats: ProcessStats }

/** True for a message of this kind, whatever else travels on the channel. */
export function isWorkerMessage(message: unknown): message is ToWorker | FromWorker {
  const { understudy } = (message ?? {}) as { understudy?: unknown }
  return typeof understudy === 'string' && understudy.startsWith('worker-')
}
