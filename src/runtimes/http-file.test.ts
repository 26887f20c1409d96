import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openHttpFile } from './http-file.ts'

const content = Buffer.from('0123456789')
let server: Server
let base: string

beforeAll(async () => {
  server = createServer((request, response) => {
    const { url, headers } = request
    const from = Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0)
    if (url === '/moved') response.writeHead(302, { location: '/file' }).end()
    else if (url === '/file' && from > 0) {
      const range = `bytes ${from}-9/10`
      response.writeHead(206, { 'content-range': range }).end(content.subarray(from))
    } else if (url === '/file' || url === '/whole') response.end(content)
    else if (url === '/lying') {
      response.writeHead(206, { 'content-range': 'bytes 0-9/10' }).end(content)
    } else if (url === '/broken') {
      response.writeHead(200, { 'content-length': 10 })
      response.write(content.subarray(0, 4), () => response.destroy())
    } else if (url !== '/silent') response.writeHead(404).end('no')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => server.closeAllConnections())

async function read(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

it('reads a file from its start, through a redirect', async () => {
  const { from, body } = await openHttpFile(`${base}/moved`)
  expect([from, await read(body)]).toEqual([0, '0123456789'])
})

it('reads the rest of a file, also through a redirect', async () => {
  const { from, body } = await openHttpFile(`${base}/moved`, { from: 7 })
  expect([from, await read(body)]).toEqual([7, '789'])
})

it('says that it begins at 0 where the server cannot resume', async () => {
  const { from, body } = await openHttpFile(`${base}/whole`, { from: 7 })
  expect([from, await read(body)]).toEqual([0, '0123456789'])
})

it('gives the connection’s error while the body is read', async () => {
  const { body } = await openHttpFile(`${base}/broken`)
  await expect(read(body)).rejects.toThrow()
})

it.each([
  ['/nothing', 0, /answered 404/],
  ['/lying', 3, /answered 206/],
])('refuses %s from %i', async (path, from, message) => {
  await expect(openHttpFile(`${base}${path}`, { from })).rejects.toMatchObject({
    code: 'upstream-unavailable',
    message: expect.stringMatching(message),
  })
})

it('says what is wrong when nobody listens', async () => {
  await expect(openHttpFile('http://127.0.0.1:1/file')).rejects.toMatchObject({
    code: 'upstream-unavailable',
    message: expect.stringMatching(/127\.0\.0\.1/),
  })
})

it('is cancelled while the server is silent', async () => {
  const controller = new AbortController()
  const opened = openHttpFile(`${base}/silent`, { signal: controller.signal })
  setTimeout(() => controller.abort(), 20)
  await expect(opened).rejects.toMatchObject({ code: 'cancelled' })
})
