/** What the gateway and the llama.cpp process say to each other. Types only. */
import type { LocalGeneration } from '../wire/index.ts'
import type { GenerationEvent } from './llama-engine.ts'

export interface OpenParameters {
  /** Folder that `ensureLlamaRuntime` made. */
  readonly runtimeDir: string
  readonly modelPath: string
  /** Null: decided by the cores found. */
  readonly threads: number | null
  /** Null: the model's own, at most 4096. */
  readonly contextSize: number | null
}

export type ToLlama =
  | ({ readonly kind: 'open' } & OpenParameters)
  | { readonly kind: 'generate'; readonly id: number; readonly request: LocalGeneration }
  | { readonly kind: 'abort'; readonly id: number }

/** Why the process could not open the model. */
export type OpenFailure = 'runtime' | 'model' | 'memory'

export type FromLlama =
  | { readonly kind: 'loading'; readonly share: number }
  | { readonly kind: 'ready'; readonly contextSize: number; readonly threads: number }
  | { readonly kind: 'failed'; readonly reason: OpenFailure; readonly message: string }
  | { readonly kind: 'event'; readonly id: number; readonly event: GenerationEvent }
  | { readonly kind: 'done'; readonly id: number }
  | {
      readonly kind: 'error'
      readonly id: number
      readonly code: 'cancelled' | 'request-invalid' | 'runtime-failed'
      readonly message: string
    }
