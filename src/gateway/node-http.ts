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

/** Largest answer that goes out in one piece. Of a longer one it shows piece by piece that it is read. */
const PIECE_BYTES = 256 * 1024

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
  const content = typeof body === 'string' ? Buffer.from(body) : body
  if (isGenerator(content)) {
    response.writeHead(status, headers)
  } else {
    response.writeHead(status, withLength(headers, status, content?.length ?? 0))
    if (content === null || content.length <= PIECE_BYTES) {
      response.end(content ?? undefined)
      // What the system has taken is out as far as can be known here.
      if (response.writableLength === 0) return onEnd(true)
      return onEnd(await comesTo('finish', request, response, readTimeoutMs))
    }
  }
  const parts = isGenerator(content) ? content : piecesOf(content)
  let isWhole = false
  try {
    for (let next = await parts.next(); !next.done; next = await parts.next()) {
      if (response.write(next.value)) continue
      if (!(await comesTo('drain', request, response, readTimeoutMs))) break
    }
    if (!response.destroyed) {
      response.end()
      isWhole = response.writableLength === 0
      isWhole ||= await comesTo('finish', request, response, readTimeoutMs)
    }
  } catch {
    // Headers are out: a broken connection is the only way left to say that this is not the whole.
    response.destroy()
  } finally {
    await parts.return(undefined).catch(ignore)
    onEnd(isWhole)
  }
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield bytes.subarray(at, at + PIECE_BYTES)
  }
}

function isGenerator(body: Reply['body']): body is AsyncGenerator<Uint8Array> {
  return body !== null && typeof body === 'object' && Symbol.asyncIterator in body
}

function withLength(headers: HeaderMap, status: number, length: number): HeaderMap {
  const isKnown = 'content-length' in headers || status === 204 || status === 304
  return isKnown ? headers : { ...headers, 'content-length': String(length) }
}

/** False where the caller left instead, or read nothing for so long that it is cut off. */
function comesTo(
  event: 'drain' | 'finish',
  { socket }: IncomingMessage,
  response: ServerResponse,
  timeoutMs: number,
): Promise<boolean> {
  const isCut = (): boolean => response.destroyed || socket.destroyed
  // Who left while the next part was made has closed already, and will not do so again.
  if (isCut()) return Promise.resolve(false)
  return new Promise(resolve => {
    const timer = setTimeout(() => {
      // Requests may be sent in a row: an answer whose turn has not come cannot be read yet.
      if (response.socket === null) timer.refresh()
      else response.destroy()
    }, timeoutMs)
    const settle = (): void => {
      clearTimeout(timer)
      response.off(event, settle)
      socket.off('close', settle)
      // A response is said to finish also where its bytes went down with the connection.
      resolve(!isCut())
    }
    response.on(event, settle)
    // The connection's own end: a response whose turn has not come is not told. All that wait for theirs listen here.
    socket.setMaxListeners(0).on('close', settle)
  })
}

/** Reads on and drops: a connection closed with unread bytes is reset, and takes the answer with it. */
function linger(request: IncomingMessage): void {
  const timer = setTimeout(() => request.destroy(), LINGER_MS).unref()
  request.on('data', ignore).on('error', ignore)
  request.once('close', () => clearTimeout(timer))
  request.resume()
}
