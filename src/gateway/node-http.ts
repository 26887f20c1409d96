/** Node's own requests and responses, without the detour over Fetch's. Knows no routes. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { UnderstudyError } from '../errors.ts'
import { tooLarge } from './body.ts'
import type { RawRequest } from './incoming.ts'
import type { HeaderMap } from './intent.ts'
import type { Reply } from './reply.ts'

/** How long a caller whose request was refused half-way may go on sending, so that it gets to read the answer. */
const LINGER_MS = 1_000

export function fromNode(request: IncomingMessage, response: ServerResponse): RawRequest {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  response.once('close', () => {
    if (!response.writableFinished) abort()
  })
  return {
    method: request.method ?? 'GET',
    target: request.url ?? '/',
    headers: request.headers as HeaderMap,
    signal: controller.signal,
    abort,
    readBody: maxBytes => readBody(request, maxBytes),
  }
}

function readBody(request: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const announced = Number(request.headers['content-length'])
  if (announced > maxBytes) return Promise.reject(tooLarge(maxBytes))
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let length = 0
    const onData = (part: Buffer): void => {
      length += part.length
      parts.push(part)
      if (length <= maxBytes) return
      settle()
      request.pause()
      reject(tooLarge(maxBytes))
    }
    const onEnd = (): void => {
      settle()
      resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts))
    }
    const onClose = (cause?: unknown): void => {
      settle()
      reject(
        new UnderstudyError('cancelled', 'The caller left before its request was complete.', {
          cause,
        }),
      )
    }
    const settle = (): void => {
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      request.on('error', ignore)
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}

function ignore(): void {}

/** Sends an answer; resolves when it is out, or its caller has left. Never rejects. */
export async function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  {
    status,
    headers,
    body,
    onEnd = ignore,
    readTimeoutMs,
  }: Reply & {
    /** A caller who reads nothing for longer is cut off. */
    readonly readTimeoutMs: number
  },
): Promise<void> {
  if (response.destroyed) {
    // A generator that never began would end without its record.
    if (isGenerator(body)) await body.next().catch(ignore)
    if (isGenerator(body)) await body.return(undefined).catch(ignore)
    return onEnd(false)
  }
  if (!request.complete) {
    response.shouldKeepAlive = false
    linger(request)
  }
  if (!isGenerator(body)) {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    response.writeHead(status, withLength(headers, status, bytes?.length ?? 0))
    response.end(bytes ?? undefined)
    return onEnd(true)
  }
  response.writeHead(status, headers)
  let isWhole = false
  try {
    for (let next = await body.next(); !next.done; next = await body.next()) {
      if (!response.write(next.value) && !(await drained(response, readTimeoutMs))) break
    }
    isWhole = !response.destroyed
    if (isWhole) response.end()
  } catch {
    // Headers are out: a broken connection is the only way left to say that this is not the whole.
    response.destroy()
  } finally {
    await body.return(undefined).catch(ignore)
    onEnd(isWhole)
  }
}

function isGenerator(body: Reply['body']): body is AsyncGenerator<Uint8Array> {
  return body !== null && typeof body === 'object' && Symbol.asyncIterator in body
}

function withLength(headers: HeaderMap, status: number, length: number): HeaderMap {
  const isKnown = 'content-length' in headers || status === 204 || status === 304
  return isKnown ? headers : { ...headers, 'content-length': String(length) }
}

/** False where the caller left instead. */
function drained(response: ServerResponse, timeoutMs: number): Promise<boolean> {
  // Who left while the next part was made has closed already, and will not do so again.
  if (response.destroyed) return Promise.resolve(false)
  return new Promise(resolve => {
    const timer = setTimeout(() => response.destroy(), timeoutMs)
    const settle = (): void => {
      clearTimeout(timer)
      response.off('drain', settle).off('close', settle)
      resolve(!response.destroyed)
    }
    response.on('drain', settle).on('close', settle)
  })
}

/** Reads on and drops: a connection closed with unread bytes is reset, and takes the answer with it. */
function linger(request: IncomingMessage): void {
  const timer = setTimeout(() => request.destroy(), LINGER_MS).unref()
  request.on('data', ignore).on('error', ignore)
  request.once('close', () => clearTimeout(timer))
  request.resume()
}
