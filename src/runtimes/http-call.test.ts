import { getEventListeners, once } from 'node:events'
import { createServer, type Server } from 'node:http'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net'
import { Pool } from 'undici'
import { afterEach, expect, test } from 'vitest'
import { call } from './http-call.ts'

const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function poolOf(server: Server | TcpServer): Promise<Pool> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const pool = new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  opened.push(server, { close: () => pool.destroy() })
  return pool
}

const GET = { path: '/', method: 'GET' } as const
const never = () => new AbortController().signal

test('the sender is held back while nobody reads, and all of it arrives', async () => {
  const part = Buffer.alloc(64 * 1024, 'x')
  let sentCount = 0
  const pool = await poolOf(
    createServer(async (_request, response) => {
      for (let i = 0; i < 400; i++) {
        sentCount++
        if (!response.write(part)) await once(response, 'drain')
      }
      response.end()
    }),
  )
  const { body } = await call(pool, GET, never())
  await new Promise(resolve => setTimeout(resolve, 200))
  expect(sentCount).toBeLessThan(400)
  let length = 0
  for await (const bytes of body) length += bytes.length
  expect(length).toBe(400 * part.length)
  expect(await body.next()).toEqual({ done: true, value: undefined })
})

test('interim answers are passed over', async () => {
  const pool = await poolOf(
    createServer((_request, response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' })
      response.end('ok')
    }),
  )
  const { status, body } = await call(pool, GET, never())
  expect(status).toBe(200)
  expect(Buffer.from((await body.next()).value as Uint8Array).toString()).toBe('ok')
})

test('who leaves the body early ends the call; who is gone before does not begin it', async () => {
  let close = (): void => {}
  const closed = new Promise<void>(resolve => {
    close = resolve
  })
  const pool = await poolOf(
    createServer((_request, response) => {
      response.once('close', close)
      response.write('first')
    }),
  )
  const { body } = await call(pool, GET, never())
  for await (const _ of body) break
  await closed
  await expect(call(pool, GET, AbortSignal.abort())).rejects.toMatchObject({
    code: 'UND_ERR_ABORTED',
    isUnsent: true,
  })
})

test('an error says whether the request went out', async () => {
  const leaving = new AbortController()
  const pool = await poolOf(createServer(() => leaving.abort()))
  const asked = await call(pool, GET, leaving.signal).catch((error: unknown) => error)
  expect(asked).toMatchObject({ code: 'UND_ERR_ABORTED' })
  expect(asked).not.toHaveProperty('isUnsent')
  const closed = new Pool('http://127.0.0.1:1')
  opened.push({ close: () => closed.destroy() })
  const refused = await call(closed, GET, never()).catch((error: unknown) => error)
  expect(refused).toMatchObject({ code: 'ECONNREFUSED', isUnsent: true })
})

test('a caller that leaves while it waits for more gets an error, not an end', async () => {
  const pool = await poolOf(createServer((_request, response) => response.write('first')))
  const leaving = new AbortController()
  const { body } = await call(pool, GET, leaving.signal)
  await body.next()
  const next = body.next()
  leaving.abort()
  await expect(next).rejects.toMatchObject({ code: 'UND_ERR_ABORTED' })
  await expect(body.next()).rejects.toMatchObject({ code: 'UND_ERR_ABORTED' })
})

test('an answer that breaks off gives what came, then an error', async () => {
  const pool = await poolOf(
    createTcpServer(socket => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'))
    }),
  )
  const { body } = await call(pool, GET, never())
  expect(Buffer.from((await body.next()).value as Uint8Array).toString()).toBe('half')
  await expect(body.next()).rejects.toThrow()
})

test('what the library finds wrong at once is thrown, and the signal is let go', async () => {
  const pool = await poolOf(createServer())
  const { signal } = new AbortController()
  await expect(call(pool, { ...GET, path: 'no slash' }, signal)).rejects.toThrow('path')
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})
