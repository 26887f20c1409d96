/**
 * One HTTP exchange through a connection pool. Hands the library's events on as they come: its own `request` makes a stream
 * object and an async resource of each answer, which costs a gateway a tenth of its time (docs/log.md).
 */
import { type Dispatcher, errors } from 'undici'

export interface CallAnswer {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** For one reader; the sender is held back while it does not read. Leaving it early ends the call. */
  readonly body: AsyncIterableIterator<Uint8Array>
}

/** Bytes that may wait for the reader before the sender is held back. */
const WAITING_BYTES = 64 * 1024

/**
 * Sends a request. Resolves with the answer's head.
 * @throws the library's errors, as the body does; `UND_ERR_ABORTED` where `signal` ended it. They say `isUnsent` where
 * nothing of the request went out.
 */
export function call(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  signal: AbortSignal,
): Promise<CallAnswer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(unsent(new errors.RequestAbortedError()))
    const exchange = new Exchange(signal, resolve, reject)
    try {
      dispatcher.dispatch(options, exchange)
    } catch (error) {
      // What the library finds wrong at once, it throws.
      exchange.onResponseError(null, error as Error)
    }
  })
}

function unsent(error: Error): Error {
  return Object.assign(error, { isUnsent: true })
}

type Step = IteratorResult<Uint8Array, undefined>

const END: Step = { done: true, value: undefined }

class Exchange implements Dispatcher.DispatchHandler, AsyncIterableIterator<Uint8Array> {
  readonly #signal: AbortSignal
  readonly #resolve: (answer: CallAnswer) => void
  readonly #reject: (error: Error) => void
  #controller: Dispatcher.DispatchController | null = null
  #parts: Uint8Array[] = []
  #waitingBytes = 0
  #reader: { resolve(step: Step): void; reject(error: Error): void } | null = null
  #state: 'open' | 'ended' | Error = 'open'

  constructor(
    signal: AbortSignal,
    resolve: (answer: CallAnswer) => void,
    reject: (error: Error) => void,
  ) {
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    signal.addEventListener('abort', this.#abort)
  }

  readonly #abort = (): void => {
    const error = new errors.RequestAbortedError()
    this.#settle(error)
    this.#controller?.abort(error)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#state !== 'open') controller.abort(new errors.RequestAbortedError())
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: CallAnswer['headers'],
  ): void {
    // Interim answers say nothing that a caller of ours waits for.
    if (status >= 200) this.#resolve({ status, headers, body: this })
  }

  onResponseData(controller: Dispatcher.DispatchController, part: Uint8Array): void {
    if (this.#state !== 'open') return
    const reader = this.#reader
    if (reader === null) {
      this.#parts.push(part)
      this.#waitingBytes += part.length
      if (this.#waitingBytes > WAITING_BYTES) controller.pause()
    } else {
      this.#reader = null
      reader.resolve({ done: false, value: part })
    }
  }

  onResponseEnd(): void {
    this.#settle('ended')
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.#settle(error)
  }

  #settle(state: 'ended' | Error): void {
    if (this.#state !== 'open') return
    this.#state = state
    this.#signal.removeEventListener('abort', this.#abort)
    const reader = this.#reader
    this.#reader = null
    if (state === 'ended') {
      reader?.resolve(END)
    } else {
      this.#reject(this.#controller === null ? unsent(state) : state)
      reader?.reject(state)
    }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<Step> {
    const part = this.#parts.shift()
    if (part !== undefined) {
      this.#waitingBytes -= part.length
      if (this.#controller?.paused === true && this.#waitingBytes <= WAITING_BYTES) {
        this.#controller.resume()
      }
      return Promise.resolve({ done: false, value: part })
    }
    if (this.#state === 'ended') return Promise.resolve(END)
    if (this.#state !== 'open') return Promise.reject(this.#state)
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
  }

  return(): Promise<Step> {
    if (this.#state === 'open') {
      this.#settle('ended')
      this.#controller?.abort(new errors.RequestAbortedError())
    }
    this.#parts = []
    return Promise.resolve(END)
  }
}
