/** Requests that come as Fetch requests: in process, and by the routes that are not in a hurry. */
import { readBody } from './body.ts'
import type { RawRequest } from './incoming.ts'

export function fromFetch(request: Request): RawRequest {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  if (request.signal.aborted) abort()
  request.signal.addEventListener('abort', abort, { once: true })
  return {
    method: request.method,
    // Behind scheme and host, which Fetch has always put there.
    target: request.url.slice(request.url.indexOf('/', request.url.indexOf('//') + 2)),
    headers: Object.fromEntries(request.headers),
    signal: controller.signal,
    abort,
    readBody: maxBytes => readBody(request, maxBytes),
  }
}
