/** One file over HTTP, from any byte on. Knows ranges and redirects, nothing of models or disks. */
import { EnvHttpProxyAgent, fetch } from 'undici'
import { UnderstudyError } from '../errors.ts'

export interface HttpFile {
  /** Byte that `body` begins with: what was asked for, or 0 where the server cannot resume. */
  readonly from: number
  readonly body: AsyncIterable<Uint8Array>
}

const CONNECT_TIMEOUT_MS = 5_000
/** Without a byte for this long, the connection counts as broken. */
const SILENCE_TIMEOUT_MS = 30_000

/**
 * Opens a file at byte `from`. Follows redirects and the proxy settings of the environment
 * (`HTTPS_PROXY`, `NO_PROXY`). Errors while the body is read are the connection's own.
 * @throws upstream-unavailable when there is no usable answer; cancelled when the signal fires
 */
export async function openHttpFile(
  url: string,
  { from = 0, signal }: { from?: number; signal?: AbortSignal | undefined } = {},
): Promise<HttpFile> {
  const dispatcher = new EnvHttpProxyAgent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: SILENCE_TIMEOUT_MS,
    bodyTimeout: SILENCE_TIMEOUT_MS,
  })
  // Compressed, a range would count other bytes.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (from > 0) headers.range = `bytes=${from}-`
  try {
    const response = await fetch(url, { headers, dispatcher, signal: signal ?? null })
    const { status, body } = response
    const isRest = status === 206 && startOf(response.headers.get('content-range')) === from
    if ((status !== 200 && !isRest) || body === null) {
      await body?.cancel()
      throw unavailable(url, `the server answered ${status}`)
    }
    return { from: isRest ? from : 0, body: closing(body, dispatcher) }
  } catch (cause) {
    await dispatcher.destroy()
    if (signal?.aborted) {
      throw new UnderstudyError('cancelled', 'The download was cancelled', { cause })
    }
    if (cause instanceof UnderstudyError) throw cause
    throw unavailable(url, reasonOf(cause), cause)
  }
}

/** Passes the body on, and closes the connection however reading ends. */
async function* closing(
  body: AsyncIterable<Uint8Array>,
  dispatcher: EnvHttpProxyAgent,
): AsyncIterable<Uint8Array> {
  try {
    yield* body
  } finally {
    await dispatcher.destroy()
  }
}

/** `bytes 100-199/200` → 100. */
function startOf(contentRange: string | null): number {
  const match = /^bytes (\d+)-/u.exec(contentRange ?? '')
  return match === null ? Number.NaN : Number(match[1])
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? cause.message || cause.name : String(cause)
}

function unavailable(url: string, reason: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('upstream-unavailable', `${url}: ${reason}`, {
    help: 'Check the network and HTTPS_PROXY, or use another source.',
    cause,
  })
}
