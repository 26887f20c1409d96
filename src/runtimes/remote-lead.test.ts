import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { endToEndHeaders } from './http-headers.ts'
import { openRemoteLead } from './remote-lead.ts'
import type { Lead } from './types.ts'

const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
})

async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  opened.push({
    close() {
      server.close()
      server.closeAllConnections()
    },
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function openLead(options: Parameters<typeof openRemoteLead>[0]): Lead {
  const lead = openRemoteLead(options)
  opened.unshift(lead)
  return lead
}

const get = (path: string, headers = {}): Parameters<Lead['send']>[0] => ({
  method: 'GET',
  path,
  headers,
  body: null,
  signal: new AbortController().signal,
})

test.each([
  '',
  '/',
  '/v1',
  '/v1/',
  '/prefix/v1',
  '/prefix',
])('an address that ends in "%s" leads to the same paths', async ending => {
  const url = await serve((request, response) => response.end(request.url))
  const { body } = await openLead({ url: url + ending }).send(get('/v1/models?a=b'))
  let text = ''
  for await (const part of body) text += Buffer.from(part).toString()
  expect(text).toBe(`${ending.startsWith('/prefix') ? '/prefix' : ''}/v1/models?a=b`)
})

test('headers of one hop stay there, in both directions', async () => {
  let seen: IncomingMessage['headers'] = {}
  const url = await serve((request, response) => {
    seen = request.headers
    response.setHeader('keep-alive', 'timeout=9')
    response.setHeader('x-kept', ['a', 'b'])
    response.setHeader('set-cookie', 'a=b')
    response.end('ok')
  })
  const lead = openLead({ url, key: 'k' })
  const { headers } = await lead.send(
    get('/v1/x', {
      connection: 'x-mine',
      'x-mine': '1',
      te: 'trailers',
      host: 'evil',
      Authorization: 'Bearer other',
      'x-kept': 'y',
    }),
  )
  expect(seen).toMatchObject({ authorization: 'Bearer k', 'x-kept': 'y', host: new URL(url).host })
  expect(seen).not.toHaveProperty('x-mine')
  expect(seen).not.toHaveProperty('te')
  expect(headers).toMatchObject({ 'x-kept': 'a, b', 'content-length': '2' })
  for (const name of ['keep-alive', 'connection', 'transfer-encoding', 'set-cookie']) {
    expect(headers).not.toHaveProperty(name)
  }
  expect(endToEndHeaders({ Connection: 'close', 'X-A': '1' })).toEqual({ 'x-a': '1' })
})

test('whatever keeps the lead from answering has its code', async () => {
  const silent = await serve(() => {})
  await expect(
    openLead({ url: silent, headersTimeoutMs: 50 }).send(get('/v1/x')),
  ).rejects.toMatchObject({ code: 'upstream-timeout' })
  await expect(openLead({ url: 'http://127.0.0.1:1' }).send(get('/v1/x'))).rejects.toMatchObject({
    code: 'upstream-unavailable',
    help: expect.stringContaining('ECONNREFUSED'),
  })
  const junk = await serve((_request, response) => response.socket?.end('hello\r\n\r\n'))
  await expect(openLead({ url: junk }).send(get('/v1/x'))).rejects.toMatchObject({
    code: 'upstream-unavailable',
  })
  const leaving = new AbortController()
  const asked = openLead({ url: silent }).send({ ...get('/v1/x'), signal: leaving.signal })
  leaving.abort()
  await expect(asked).rejects.toMatchObject({ code: 'cancelled' })
})

test.each([
  '',
  'localhost:80',
  'ftp://x',
  'file:///etc/passwd',
  'http://user:secret@host/v1',
])('the address "%s" is refused, without repeating a secret', url => {
  const error = (() => {
    try {
      openRemoteLead({ url })
    } catch (thrown) {
      return thrown as Error
    }
  })()
  expect(error).toMatchObject({ code: 'usage-invalid' })
  expect(error?.message).not.toContain('secret')
})
