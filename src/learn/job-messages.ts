/** What a job's process and its host tell each other. */
import type { ErrorCode } from '../errors.ts'

/** How far a job is. */
export interface JobEvent {
  readonly stage: string
  readonly done: number
  /** 0 where unknown. */
  readonly total: number
  readonly note?: string
  readonly unit?: 'bytes'
}

/** Messages of the host. Database traffic travels beside them on the same channel. */
export type HostMessage =
  | { readonly type: 'start'; readonly order: JobOrder }
  | { readonly type: 'cancel' }

export interface JobOrder {
  readonly kind: string
  readonly params: unknown
  readonly dataDir: string
  readonly settings: JobSettings
}

/** What jobs need of the configuration; plain JSON. */
export interface JobSettings {
  readonly durability: 'group' | 'sync'
  readonly prices: Readonly<Record<string, { readonly inUsd: number; readonly outUsd: number }>>
  readonly signingKeyPath: string | null
  /** Folder or name; null: the default. */
  readonly encoder: string | null
  /** As the setting says; `auto` where nothing does. */
  readonly executionProvider?: string
}

export type JobMessage =
  | { readonly type: 'event'; readonly event: JobEvent }
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'failed'; readonly error: SentError }

export interface SentError {
  readonly code: ErrorCode
  readonly message: string
  readonly help: string | null
}
