/** A job's progress as server-sent events: `progress` as it comes, then one `done` or `failed`. */
import { formatSse, formatSseComment } from '../wire/index.ts'
import type { Jobs, JobView } from './jobs.ts'

/** Keeps idle connections open through proxies and clients that time out on silence. */
const HEARTBEAT_MS = 15_000

/**
 * A response that follows a job. Whoever comes late gets the newest progress first, or the end.
 * `progress` holds the event, `done` the result, `failed` the error.
 * @throws not-found
 */
export function jobEventsResponse(jobs: Jobs, id: string): Response {
  const first = jobs.get(id)
  let stop = (): void => {}
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (text: string): void => controller.enqueue(new TextEncoder().encode(text))
      const heartbeat = setInterval(() => send(formatSseComment('still here')), HEARTBEAT_MS)
      const show = (job: JobView): void => {
        if (job.state === 'running') {
          if (job.event !== null) send(eventText('progress', job.event))
          return
        }
        stop()
        send(endText(job))
        controller.close()
      }
      const unsubscribe = jobs.subscribe(id, show)
      stop = () => {
        clearInterval(heartbeat)
        unsubscribe()
      }
      show(first)
    },
    cancel: () => stop(),
  })
  return new Response(stream, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  })
}

function endText({ state, result, error }: JobView): string {
  return state === 'done' ? eventText('done', result) : eventText('failed', error)
}

function eventText(event: string, data: unknown): string {
  return formatSse(JSON.stringify(data), { event })
}
