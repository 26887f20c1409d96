/** A request on its way in, whoever brought it: read lazily, so that what is refused early costs little. */
import type { Asked, Key } from '../access/index.ts'
import { modelsIn } from '../wire/index.ts'
import type { HeaderMap } from './intent.ts'
import type { RequestWatch } from './observer.ts'
import { isPlainEncoding } from './relay.ts'

/** How a request came: over a port that other machines reach, or not. */
export interface Door {
  readonly isLoopback: boolean
  /** True where other machines reach the gateway, so that nobody is let in without a key. */
  readonly isExposed?: boolean
  /** True for who may open the data folder, in this process. */
  readonly isOwner?: boolean
}

/** A request as its carrier knows it. */
export interface RawRequest {
  readonly method: string
  /** Path and query, as sent. */
  readonly target: string
  /** By lower-case name. */
  readonly headers: HeaderMap
  /** Fires when the caller leaves, or `abort` is called. */
  readonly signal: AbortSignal
  /** Stops all that is done for this request; harmless once it is answered. */
  readonly abort: () => void
  /**
   * The whole body; call it once.
   * @throws request-too-large; cancelled when the caller left
   */
  readBody(maxBytes: number): Promise<Uint8Array>
}

/** A request that was let in. */
export interface Incoming extends RawRequest {
  /** The key that let the caller in; null where none is required. */
  readonly key: Key | null
  readonly watch: RequestWatch
}

/**
 * What the limits of a key are asked about. Those of a restricted key need every model that the body names; and a body
 * that says it is a form or compressed names none, whatever its first bytes look like.
 */
export function askedOf({ key, headers }: Incoming, body: Uint8Array, model: string | null): Asked {
  const byteCount = body.length
  if (key === null || key.models === null) return { model, byteCount }
  const isForm = /multipart|form-urlencoded/iu.test(headers['content-type'] ?? '')
  const isPlain = isPlainEncoding(headers['content-encoding'])
  return { model: isForm || !isPlain ? null : model, byteCount, models: modelsIn(body) }
}
