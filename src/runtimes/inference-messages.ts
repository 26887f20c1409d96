/** What the pool and its workers say to each other. Types and error translation only. */
import { type ErrorCode, isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { RuntimeCall, Tensor } from './types.ts'

export type WorkerRequest = { readonly id: number } & (
  | { readonly kind: 'load'; readonly session: string; readonly model: Uint8Array }
  | { readonly kind: 'unload'; readonly session: string }
  | { readonly kind: 'close' }
  | {
      readonly kind: 'run'
      readonly calls: readonly RuntimeCall[]
      readonly outputs: readonly string[] | undefined
    }
)

export type WorkerReply =
  | { readonly id: number; readonly outputs: Readonly<Record<string, Tensor>> }
  | { readonly id: number; readonly error: WorkerError }

export interface WorkerError {
  readonly code: ErrorCode
  readonly message: string
  readonly help: string | undefined
}

/** An error as plain data, since a class does not cross threads. */
export function toWorkerError(error: unknown): WorkerError {
  if (isUnderstudyError(error)) {
    return { code: error.code, message: error.message, help: error.help }
  }
  return {
    code: 'runtime-failed',
    message: `The inference worker failed: ${error instanceof Error ? error.message : error}`,
    help: undefined,
  }
}

/** The error that a worker reported, thrown again on this side. */
export function fromWorkerError({ code, message, help }: WorkerError): UnderstudyError {
  return new UnderstudyError(code, message, help === undefined ? {} : { help })
}
