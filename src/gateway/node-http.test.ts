/** Answers over Node's own responses: whoever leaves, and whenever, the body ends and its end is told. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { sendReply } from './node-http.ts'
import type { Reply } from './reply.ts'

/** Answers one caller, who leaves before the answer or at its first byte. Returns what `onEnd` was told. */
async function answerOnce(
  body: (response: ServerResponse) => AsyncGenerator<Uint8Array>,
  { leavesAtOnce }: { readonly leavesAtOnce: boolean },
): Promise<boolean> {
  const server = createServer()
  const told = new Promise<boolean>(resolve => {
    server.on('request', async (request, response) => {
      if (leavesAtOnce) {
        socket.destroy()
        await once(response, 'close')
      }
      const reply = { status: 200, headers: {}, body: body(response), onEnd: resolve }
      await sendReply(request, response, { ...reply, readTimeoutMs: 600_000 })
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  socket.once('data', () => socket.destroy())
  return told.finally(() => server.close())
}

test('a caller that leaves while a part is being made does not keep the body open', async () => {
  const steps: string[] = []
  const isWhole = await answerOnce(
    async function* (response) {
      try {
        yield Buffer.from('a')
        await once(response, 'close')
        steps.push('made')
        yield Buffer.from('b')
        steps.push('asked for more')
      } finally {
        steps.push('ended')
      }
    },
    { leavesAtOnce: false },
  )
  expect(isWhole).toBe(false)
  expect(steps).toEqual(['made', 'ended'])
})

test('a body whose caller left before it began still runs to its end, where it is recorded', async () => {
  const steps: string[] = []
  const isWhole = await answerOnce(
    async function* () {
      try {
        steps.push('began')
        yield Buffer.from('a')
      } finally {
        steps.push('ended')
      }
    },
    { leavesAtOnce: true },
  )
  expect(isWhole).toBe(false)
  expect(steps).toEqual(['began', 'ended'])
})

describe('a whole answer', () => {
  const TIMEOUT_MS = 300
  /** Far more than the system's buffers between two sockets. */
  const LARGE = 32 * 1024 * 1024
  /** Goes out in one piece, and is more than the buffers of a socket in the file system. */
  const SMALL = 250_000

  /** Answers `callerCount` requests of one connection by that many bytes. Returns what `onEnd` was told of each, and when. */
  async function answerWhole(
    length: number,
    act: (socket: Socket) => unknown,
    {
      bodyFor = (_: ServerResponse): Reply['body'] => Buffer.alloc(length),
      requests = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
      count = 1,
      path = '',
    } = {},
  ) {
    const server = createServer()
    const startMs = performance.now()
    const ends: { isWhole: boolean; tookMs: number }[] = []
    server.on('request', async (request, response) => {
      // The one that nobody ever answers.
      if (request.url === '/never') return
      const onEnd = (isWhole: boolean): void => {
        ends.push({ isWhole, tookMs: performance.now() - startMs })
      }
      const reply = { status: 200, headers: {}, body: bodyFor(response), onEnd }
      await sendReply(request, response, { ...reply, readTimeoutMs: TIMEOUT_MS })
    })
    await once(path === '' ? server.listen(0, '127.0.0.1') : server.listen(path), 'listening')
    const socket =
      path === '' ? connect((server.address() as AddressInfo).port, '127.0.0.1') : connect(path)
    let received = 0
    socket.on('error', () => {})
    socket.on('data', part => {
      received += part.length
    })
    socket.pause()
    socket.write(requests)
    void act(socket)
    await expect.poll(() => ends.length, { timeout: 10_000 }).toBe(count)
    // Nothing is told twice.
    await sleep(50)
    expect(ends).toHaveLength(count)
    socket.destroy()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    return { ends, end: ends[0], received }
  }

  /** A socket in the file system, whose buffers are small. */
  async function inFolder<T>(work: (path: string) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'understudy-http-'))
    try {
      return await work(join(folder, 's'))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  test('that nobody reads is cut off after its time, and ends then', async () => {
    const { end } = await answerWhole(LARGE, () => {})
    expect(end?.isWhole).toBe(false)
    expect(end?.tookMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 10)
    const small = await inFolder(path => answerWhole(SMALL, () => {}, { path }))
    expect(small.end?.isWhole).toBe(false)
    expect(small.end?.tookMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 10)
  })

  test('or the rest of a stream that nobody reads is cut off as well', async () => {
    // Ends when the buffers of the system are full, and those here are not.
    const bodyFor = async function* (response: ServerResponse) {
      while (response.writableLength === 0) {
        yield Buffer.alloc(8 * 1024)
        await sleep(1)
      }
    }
    const { end } = await inFolder(path => answerWhole(0, () => {}, { path, bodyFor }))
    expect(end?.isWhole).toBe(false)
    expect(end?.tookMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 10)
  })

  test('that is read slowly, but read, arrives, however long it takes', async () => {
    const { end } = await answerWhole(LARGE, async socket => {
      let unread = 0
      socket.on('data', part => {
        unread += part.length
        if (unread < 2 * 1024 * 1024) return
        unread = 0
        socket.pause()
        setTimeout(() => socket.resume(), 80)
      })
      socket.resume()
    })
    expect(end?.isWhole).toBe(true)
    expect(end?.tookMs).toBeGreaterThan(2 * TIMEOUT_MS)
  })

  test('that is read after a while ends when it is out', async () => {
    const { end } = await inFolder(path =>
      answerWhole(SMALL, socket => sleep(150).then(() => socket.resume()), { path }),
    )
    expect(end?.isWhole).toBe(true)
    expect(end?.tookMs).toBeGreaterThanOrEqual(140)
  })

  test('whose caller leaves is none, though Node says that it finished', async () => {
    const { end } = await answerWhole(LARGE, socket => sleep(50).then(() => socket.destroy()))
    expect(end?.isWhole).toBe(false)
    expect(end?.tookMs).toBeLessThan(TIMEOUT_MS)
    const small = await inFolder(path =>
      answerWhole(SMALL, socket => sleep(50).then(() => socket.destroy()), { path }),
    )
    expect(small.end?.isWhole).toBe(false)
  })

  test('that waits for its turn is not cut off meanwhile, and ends with its connection', async () => {
    const line = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`
    const requests = line('/never') + line('/').repeat(20)
    const { ends } = await answerWhole(
      // So little in all that Node goes on reading, and sees the caller leave.
      100,
      socket => sleep(2 * TIMEOUT_MS).then(() => socket.destroy()),
      { requests, count: 20 },
    )
    for (const { isWhole, tookMs } of ends) {
      expect(isWhole).toBe(false)
      expect(tookMs).toBeGreaterThan(2 * TIMEOUT_MS - 20)
    }
  })
})
