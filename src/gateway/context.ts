/** What the gateway is given: everything it uses of the world, so that tests can hand it scripted parts. */
import type { Access } from '../access/index.ts'
import type { Cascade } from '../cascade/index.ts'
import type { KeyRules } from '../config/index.ts'
import type { Lead } from '../runtimes/index.ts'
import type { Upstreams } from '../upstreams/index.ts'
import type { Clock } from '../util/index.ts'
import type { Workspace } from '../workspace/index.ts'
import type { AnswerCache } from './answer-cache.ts'
import type { LocalAnswer } from './embedder.ts'
import type { JobRunner } from './jobs.ts'
import type { TelemetryOptions } from './observer.ts'
import type { ProcessStats } from './worker-messages.ts'

/** A caller's credential. */
export interface GatewayKey extends Partial<KeyRules> {
  readonly key: string
  /** The app that owns the key; null: whoever holds it says so by header. */
  readonly app: string | null
}

export interface GatewayLimits {
  /** Largest request body, in bytes; a larger one is answered 413. */
  readonly maxBodyBytes: number
  /** Largest copy of an answer kept for the record; beyond it the record says that it is incomplete. */
  readonly maxCopyBytes: number
  /** Longest that an answer waits for its record, in milliseconds. */
  readonly recordTimeoutMs: number
  /** Requests answered at once, those that may wait for a turn, and how long. */
  readonly maxConcurrent: number
  readonly maxQueued: number
  readonly queueTimeoutMs: number
}

export const DEFAULT_LIMITS: GatewayLimits = {
  maxBodyBytes: 32 * 1024 * 1024,
  maxCopyBytes: 8 * 1024 * 1024,
  recordTimeoutMs: 1_000,
  maxConcurrent: 4_096,
  maxQueued: 1_024,
  queueTimeoutMs: 10_000,
}

/** What the gateway uses of a workspace. */
export type GatewayWorkspace = Pick<Workspace, 'node' | 'store' | 'append' | 'read' | 'health'> &
  Partial<Pick<Workspace, 'catchUp'>>

/** Read anew for every request: a reload of the configuration may change what stands here. */
export interface GatewayContext {
  readonly workspace: GatewayWorkspace
  readonly cascade: Pick<Cascade, 'route' | 'live'>
  /** Null: specialists only, everything else is answered 503. */
  readonly lead: Lead | null
  /** True where the lead has a key of its own, so that no caller's Authorization reaches it. */
  readonly leadHasKey: boolean
  /** Keys of a gateway without `access`. Empty: any caller is let in. */
  readonly keys: readonly GatewayKey[]
  /** True where workers of this process listen where other machines reach them. */
  readonly isExposed?: boolean
  /** Keys, limits and budgets; default: `keys`, counted in memory. */
  readonly access?: Access
  /** Long work by kind, for `POST /understudy/v1/jobs`. */
  readonly jobs: Readonly<Record<string, JobRunner>>
  readonly clock: Clock
  readonly configHash: string
  /** Routes and upstreams, where there are several; null: one lead or none. */
  readonly upstreams?: Upstreams | null
  /** Answers that routes keep; null: none. */
  readonly cache?: AnswerCache | null
  /** Why the newest configuration file is not what holds; null where it is. */
  readonly configError?: string | null
  readonly limits: GatewayLimits
  /** Host names, besides loopback's, under which this gateway may be addressed while it is bound to loopback. */
  readonly allowedHosts: readonly string[]
  /** Notices for the operator: never bodies, never keys. */
  readonly log: (text: string) => void
  /** Default: no model of this machine is asked by name. */
  readonly localAnswer?: LocalAnswer
  /** Default: metrics only. */
  readonly telemetry?: TelemetryOptions
  /** Where requests about the gateway itself go, in a worker: to the process that owns the data folder. */
  readonly owner?: Lead
  /** What the workers of this gateway know of themselves, in the process that owns the data folder. */
  readonly peers?: () => Promise<readonly ProcessStats[]>
  /** Whether the specialists that the store names were looked for; default: they were. */
  readonly isStageOpen?: () => boolean
}

/** The context with more beside it; values that a reload changes stay live, which a copy would not keep. */
export function extended<Context extends object, Own extends object>(
  context: Context,
  own: Own,
): Context & Own {
  return Object.assign(Object.create(context) as Context, own)
}
