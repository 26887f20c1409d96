/** A port: the application behind Node's HTTP server, and an orderly end. Knows no routes. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { UnderstudyError } from '../errors.ts'
import { errorBody } from '../wire/index.ts'
import { isLoopback } from './callers.ts'
import type { Door, RawRequest } from './incoming.ts'
import { fromNode, sendReply } from './node-http.ts'
import type { Reply } from './reply.ts'

export interface ListenOptions {
  /** Default: loopback. */
  readonly host?: string
  /** 0: any free port. */
  readonly port: number
  /** A socket in the file system, in place of host and port. */
  readonly path?: string
  /** Longest that a caller may take for its headers; default: 30 s. */
  readonly headersTimeoutMs?: number
  /** Longest that a caller may take for a whole request; default: 300 s. */
  readonly requestTimeoutMs?: number
  /** Longest that a caller may go without reading anything of its answer; default: 600 s. */
  readonly readTimeoutMs?: number
}

export interface Listening {
  /** Such as `http://127.0.0.1:4000`. */
  readonly address: string
  /** Stops accepting, lets what is under way finish for at most `graceMs` (default 10 s), then cuts it. */
  close(options?: { readonly graceMs?: number }): Promise<void>
}

export interface ListenParts extends ListenOptions {
  readonly answer: (request: Request, door: Door) => Promise<Response>
  /** Answers what lies under `/v1/`, on the short way. */
  readonly answerApi: (request: RawRequest, door: Door) => Promise<Reply>
  readonly hasKeys: boolean
  readonly log: (text: string) => void
}

const NO_REQUEST = {
  status: '400 Bad Request',
  message: 'The bytes are no HTTP request.',
  help: 'Send HTTP/1.1.',
}

/** Longer than the pools of clients and balancers keep idle connections, so that they close first and never write into one that closes. */
const KEEP_ALIVE_MS = 75_000

/**
 * Refuses what could not or should not be listened on, before anything is opened.
 * @throws usage-invalid
 */
export function checkListenable({
  host,
  port,
  hasKeys,
}: Required<Pick<ListenOptions, 'host' | 'port'>> & { readonly hasKeys: boolean }): void {
  if (!isLoopback(host) && !hasKeys) {
    throw new UnderstudyError(
      'usage-invalid',
      `Without a key, the gateway does not listen on ${host}, where other machines reach it.`,
      { help: 'Set UNDERSTUDY_KEY, or leave --host out to stay on loopback.' },
    )
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new UnderstudyError('usage-invalid', `The port ${port} is no whole number to 65535.`, {
      help: 'Choose another --port; 0 picks a free one.',
    })
  }
}

/**
 * Opens the port.
 * @throws usage-invalid
 */
export async function listen({
  host = '127.0.0.1',
  port,
  path,
  headersTimeoutMs = 30_000,
  requestTimeoutMs = 300_000,
  readTimeoutMs = 600_000,
  answer,
  answerApi,
  hasKeys,
  log,
}: ListenParts): Promise<Listening> {
  checkListenable({ host, port, hasKeys })
  const door = { isLoopback: isLoopback(host), isExposed: !isLoopback(host) }
  const answerRest = getRequestListener(request => answer(request, door), {
    hostname: 'localhost',
    errorHandler: error => malformed(error),
  }) as (request: IncomingMessage, response: ServerResponse) => void
  const server = createServer(
    // A request without a host is answered like one to localhost; Node would refuse it with an empty body.
    {
      requireHostHeader: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      // How late a slow caller is noticed.
      connectionsCheckingInterval: Math.min(5_000, headersTimeoutMs, requestTimeoutMs),
    },
    (request, response) => {
      if (request.url?.startsWith('/v1/') !== true) return answerRest(request, response)
      void answerApi(fromNode(request, response), door)
        .then(reply => sendReply(request, response, { ...reply, readTimeoutMs }))
        .catch(error => {
          log(`An answer could not be sent: ${error}`)
          response.destroy()
        })
    },
  )
  server.on('clientError', answerUnparsable)
  await (path === undefined ? bind(server, host, port) : bindPath(server, path))
  server.on('error', error => log(`The HTTP server failed: ${error.message}`))
  const close: Listening['close'] = ({ graceMs = 10_000 } = {}) => drain(server, graceMs)
  if (path !== undefined) return { address: path, close }
  const { port: bound } = server.address() as AddressInfo
  const shown = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  return {
    address: `http://${shown}:${bound}`,
    close,
  }
}

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void =>
      reject(
        new UnderstudyError('usage-invalid', `Cannot listen on ${host}:${port}: ${cause.message}`, {
          help: cause.code === 'EADDRINUSE' ? 'Choose another --port.' : 'Check --host and --port.',
          cause,
        }),
      )
    server.once('error', onError)
    server.listen({ host: host.replace(/^\[|\]$/gu, ''), port }, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

/** A port that nobody listens on right now. @throws usage-invalid */
export async function freePort(host: string): Promise<number> {
  const server = createServer()
  await bind(server, host, 0)
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

function bindPath(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path, exclusive: true }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** What Node's parser let through but the URL parser did not. */
function malformed(error: unknown): Response {
  const { status, body } = errorBody(
    new UnderstudyError('request-invalid', 'The request line or the host header is malformed.', {
      help: 'Send a plain HTTP request.',
      cause: error,
    }),
  )
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/json' },
  })
}

/** By the code of Node's error. */
const UNPARSABLE: Readonly<Record<string, typeof NO_REQUEST>> = {
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    message: 'The headers are too large.',
    help: 'Send shorter headers.',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    message: 'The request took too long to arrive.',
    help: 'Send it faster, or in parts.',
  },
}

/** What Node's own parser refuses (junk, headers too large) still gets an error in the API's shape. */
function answerUnparsable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const { status, message, help } = UNPARSABLE[error.code ?? ''] ?? NO_REQUEST
  const { body } = errorBody(new UnderstudyError('request-invalid', message, { help }))
  const text = JSON.stringify(body)
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  )
}

async function drain(server: Server, graceMs: number): Promise<void> {
  let isClosed = false
  const closed = new Promise<void>(resolve => {
    server.close(() => {
      isClosed = true
      resolve()
    })
  })
  const step = 25
  for (let waitedMs = 0; !isClosed && waitedMs < graceMs; waitedMs += step) {
    // A connection that was busy when the end began becomes idle later, and nobody else would close it.
    server.closeIdleConnections()
    await Promise.race([closed, sleep(step)])
  }
  server.closeAllConnections()
  await closed
}
