/** What runs an ONNX graph, wherever it runs. */
import type { RouteTrail } from '../ledger/index.ts'

export interface Tensor {
  readonly type: 'float32' | 'int64' | 'int32' | 'int8' | 'uint8' | 'bool'
  readonly dims: readonly number[]
  readonly data: Float32Array | BigInt64Array | Int32Array | Int8Array | Uint8Array
}

/** A feed: a tensor, or the named output of an earlier call of the same `run`, which never leaves the runtime. */
export type Feed = Tensor | { readonly fromCall: number; readonly output: string }

export interface RuntimeCall {
  readonly session: string
  readonly feeds: Readonly<Record<string, Feed>>
}

export interface InferenceRuntime {
  /** The execution provider that graphs run on; the CPU where nothing is said. */
  readonly provider?: string
  /**
   * Makes a graph ready under a name; loading the same name again is a no-op.
   * @throws model-corrupt when ONNX Runtime refuses the bytes; runtime-missing when it is not installed
   */
  load(session: string, model: Uint8Array): Promise<void>
  unload(session: string): Promise<void>
  /**
   * Runs the calls in order, returns the outputs of the last one.
   * @throws cancelled when the signal fires before the run began; runtime-failed
   */
  run(
    calls: readonly RuntimeCall[],
    options?: { signal?: AbortSignal; outputs?: readonly string[] },
  ): Promise<Readonly<Record<string, Tensor>>>
  close(): Promise<void>
}

/** An OpenAI-compatible server, real or played: bytes in, bytes out. */
export interface Lead {
  /** For people and for the record, without credentials. */
  readonly name: string
  /**
   * Forwards one request. Resolves with the response's head; the body streams.
   * @throws upstream-unavailable, upstream-timeout, cancelled; the latter two with `isUnsent` in their details where the
   * lead cannot have heard of the request
   */
  send(request: LeadRequest): Promise<LeadResponse>
  /**
   * False where requests at this path must be said as chat completions instead. Where it is missing, the lead speaks
   * every API.
   */
  speaks?(path: string, model: string): boolean
  /** Cuts what is under way. */
  close(): Promise<void>
  /** Lets what is under way end, then closes. Where it is missing, `close` is all there is. */
  drain?(): Promise<void>
}

export interface LeadRequest {
  readonly method: string
  /** Path and query, beginning with `/v1/`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | null
  readonly signal: AbortSignal
}

export interface LeadResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: AsyncIterable<Uint8Array>
  /** Which of several upstreams answered; absent where there is only one. */
  readonly trail?: RouteTrail
}
