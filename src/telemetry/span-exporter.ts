/** Sends finished spans in batches, behind the requests: a collector that is slow or away costs spans, never requests. */
import { otlpTraces, type Span } from '../wire/index.ts'
import type { OtlpTarget } from './otlp-settings.ts'

/** Posts JSON; resolves with the status. @throws where nothing answers in time */
export type PostJson = (
  url: string,
  body: string,
  options: { readonly headers: Readonly<Record<string, string>>; readonly timeoutMs: number },
) => Promise<number>

export interface SpanExporter {
  export(span: Span): void
  /** Spans that no collector got. */
  readonly droppedCount: number
  /** Sends what waits. */
  close(): Promise<void>
}

const QUEUE_MAX = 2_048
const BATCH_MAX = 512
const EVERY_MS = 2_000

export function createSpanExporter(
  target: OtlpTarget,
  { post, log }: { readonly post: PostJson; readonly log: (text: string) => void },
): SpanExporter {
  const { url, headers, timeoutMs } = target
  let queue: Span[] = []
  let droppedCount = 0
  let sending: Promise<void> | null = null
  let isFailing = false

  const sendBatch = async (): Promise<void> => {
    const batch = queue.slice(0, BATCH_MAX)
    queue = queue.slice(BATCH_MAX)
    try {
      const status = await post(url, JSON.stringify(otlpTraces(batch, target)), {
        headers,
        timeoutMs,
      })
      if (status < 200 || status > 299) throw new Error(`HTTP ${status}`)
      isFailing = false
    } catch (error) {
      droppedCount += batch.length
      if (!isFailing) {
        const why = error instanceof Error ? error.message : String(error)
        log(`Spans cannot be sent to ${new URL(url).origin}: ${why}. Requests are not affected.`)
      }
      isFailing = true
    }
  }
  const flush = (): Promise<void> => {
    if (queue.length === 0) return sending ?? Promise.resolve()
    sending ??= sendBatch().finally(() => {
      sending = null
    })
    return sending
  }
  const timer = setInterval(() => void flush(), EVERY_MS).unref()
  return {
    export(span) {
      if (queue.length >= QUEUE_MAX) {
        droppedCount++
        return
      }
      queue.push(span)
      if (queue.length >= BATCH_MAX) void flush()
    },
    get droppedCount() {
      return droppedCount
    },
    async close() {
      clearInterval(timer)
      while (queue.length > 0 || sending !== null) {
        await flush()
        if (!isFailing) continue
        // The end does not wait for a collector that is away, one batch after the other.
        droppedCount += queue.length
        queue = []
      }
    },
  }
}
