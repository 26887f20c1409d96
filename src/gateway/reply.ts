/** An answer on its way out, before it is known who carries it: Node's server, or a Fetch response in process. */
import type { HeaderMap } from './intent.ts'

export interface Reply {
  readonly status: number
  /** By lower-case name. */
  readonly headers: HeaderMap
  /** A generator is taken as the caller reads, and ended early when the caller leaves. */
  readonly body: string | Uint8Array | AsyncGenerator<Uint8Array> | null
  /** Called once, when the last byte is handed on, or the caller has left. Must not throw. */
  readonly onEnd?: (isWhole: boolean) => void
}

/** Statuses whose responses have no body (Fetch, "null body status"). */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304])

export function isBodiless(status: number): boolean {
  return BODILESS.has(status)
}

export function jsonReply(value: unknown, status = 200, headers: HeaderMap = {}): Reply {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(value),
  }
}

/** The same answer for a caller in this process. `abort` stops the work for an answer that nobody reads on. */
export function toResponse(
  { status, headers, body, onEnd = () => {} }: Reply,
  abort: () => void = () => {},
): Response {
  if (body === null || typeof body === 'string' || body instanceof Uint8Array) {
    onEnd(true)
    return new Response(body as BodyInit | null, { status, headers })
  }
  let isBegun = false
  let isCancelled = false
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        isBegun = true
        try {
          const { done, value } = await body.next()
          if (isCancelled) return
          if (!done) return controller.enqueue(value)
          controller.close()
          onEnd(true)
        } catch (error) {
          if (!isCancelled) onEnd(false)
          throw error
        }
      },
      async cancel() {
        isCancelled = true
        // Before the body is ended, which otherwise waits for the part under way.
        abort()
        // A generator that never began would end without its record.
        if (!isBegun) await body.next().catch(() => undefined)
        await body.return(undefined).catch(() => undefined)
        onEnd(false)
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(stream, { status, headers })
}
