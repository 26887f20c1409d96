/** Callers that read slowly, or leave: what they do not take is not fetched from the lead, on any wire. */
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Listening } from '../../src/gateway/index.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { type TestGateway, testGateway } from './scripted.ts'

const PART = 64 * 1024
const TOTAL = 128 * 1024 * 1024
/** More than all buffers between lead and caller hold: four sockets' and the pieces under way. */
const HELD = 32 * 1024 * 1024

/** Resolves when more can be written, or nobody is left to write to. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const settle = (): void => {
      response.off('drain', settle).off('close', settle)
      resolve()
    }
    response.on('drain', settle).on('close', settle)
  })
}

/** A lead that writes events as fast as they are taken, and counts what was taken. */
let server: Server
let sentBytes = 0
let isClosed = false
let lead: Lead
let parts: TestGateway
let listening: Listening

beforeAll(async () => {
  const part = Buffer.from(`event: ping\ndata: {"type":"ping","x":"${'x'.repeat(PART)}"}\n\n`)
  server = createServer(async (request, response) => {
    sentBytes = 0
    isClosed = false
    response.on('close', () => {
      isClosed = true
    })
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    while (sentBytes < TOTAL && !isClosed) {
      sentBytes += part.length
      if (!response.write(part)) await drained(response)
    }
    response.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  lead = openRemoteLead({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  parts = testGateway({ lead })
  listening = await parts.gateway.listen({ port: 0 })
})
afterAll(async () => {
  await listening.close({ graceMs: 0 })
  await lead.close()
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
})

const BODIES: Readonly<Record<string, object>> = {
  '/v1/chat/completions': { messages: [{ role: 'user', content: 'hi' }] },
  '/v1/completions': { prompt: 'hi' },
  '/v1/responses': { input: 'hi' },
  '/v1/messages': { max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] },
  '/v1/audio/speech': {},
}

/** A caller that reads nothing until it is told to. */
async function ask(path: string): Promise<Socket> {
  const body = JSON.stringify({ ...BODIES[path], model: 'm', stream: true })
  const socket = connect(Number(new URL(listening.address).port), '127.0.0.1')
  socket.pause()
  await once(socket, 'connect')
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  return socket
}

/** Waits until the lead is held up: it has sent something, and nothing more in several looks. */
async function heldUp(): Promise<number> {
  let [before, sameCount] = [-1, 0]
  while (sameCount < 6) {
    await sleep(50)
    sameCount = sentBytes > 0 && sentBytes === before ? sameCount + 1 : 0
    before = sentBytes
  }
  return sentBytes
}

describe.each(Object.keys(BODIES))('%s', path => {
  test('a caller that does not read holds the lead up; one that reads gets everything', async () => {
    sentBytes = 0
    const socket = await ask(path)
    expect(await heldUp()).toBeLessThan(HELD)
    let received = 0
    socket.on('data', part => {
      received += part.length
    })
    socket.resume()
    await once(socket, 'close')
    expect(received).toBeGreaterThan(TOTAL)
    expect(sentBytes).toBeGreaterThanOrEqual(TOTAL)
    if (path === '/v1/audio/speech') return
    // Far more came than is kept of an answer: the record says so.
    await expect.poll(() => parts.workspace.traces.at(-1)?.endpoint).toBe(path)
    expect(parts.workspace.traces.at(-1)).toMatchObject({ isComplete: false })
  }, 60_000)

  test('a caller that leaves in the middle takes the lead’s request along', async () => {
    sentBytes = 0
    const socket = await ask(path)
    await heldUp()
    const recordedCount = parts.workspace.traces.length
    socket.destroy()
    await expect.poll(() => isClosed, { timeout: 10_000 }).toBe(true)
    expect(sentBytes).toBeLessThan(HELD)
    if (path === '/v1/audio/speech') return
    await expect.poll(() => parts.workspace.traces.length).toBe(recordedCount + 1)
    expect(parts.workspace.traces.at(-1)).toMatchObject({ endpoint: path, isComplete: false })
  }, 60_000)
})
