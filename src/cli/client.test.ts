import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { UnderstudyError } from '../errors.ts'
import { type Client, connect, requestJson, runJob } from './client.ts'
import { recordingTerminal } from './testing.ts'

const json = (value: unknown, status = 200): Response => Response.json(value, { status })
const sse = (...events: [string, unknown][]): Response =>
  new Response(
    events.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join(''),
  )

/** A client that answers from a table of `METHOD path`, and remembers what it was asked. */
function scripted(
  answers: Record<string, () => Response | Promise<Response>>,
): Client & { asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    async request(path, init) {
      const line = `${init?.method ?? 'GET'} ${path}`
      asked.push(line)
      const answer = answers[line]
      if (answer === undefined) throw new Error(`unexpected ${line}`)
      return answer()
    },
    close: async () => {},
  }
}

const START = 'POST /understudy/v1/jobs'
const EVENTS = 'GET /understudy/v1/jobs/job_1/events'
const started = () => json({ id: 'job_1', state: 'running' }, 202)

describe('runJob', () => {
  it('shows progress and returns the result', async () => {
    const client = scripted({
      [START]: started,
      [EVENTS]: () =>
        sse(
          ['progress', { stage: 'import', done: 1, total: 2, note: 'x' }],
          ['progress', 'odd'],
          ['done', { a: 1 }],
        ),
    })
    const terminal = recordingTerminal()
    expect(await runJob(client, 'import', {}, terminal)).toEqual({ a: 1 })
    expect(terminal.written().err).toContain('1/2')
    expect(terminal.written().out).toBe('')
  })

  it('throws the error of a failed job under its code', async () => {
    const error = { message: 'No such file.', code: 'file_unreadable' }
    const client = scripted({ [START]: started, [EVENTS]: () => sse(['failed', error]) })
    await expect(runJob(client, 'import', {}, recordingTerminal())).rejects.toMatchObject({
      code: 'file-unreadable',
      message: 'No such file.',
    })
  })

  it('asks the job itself when the stream breaks off', async () => {
    const client = scripted({
      [START]: started,
      [EVENTS]: () => sse(['progress', { stage: 's', done: 0, total: 1 }]),
      'GET /understudy/v1/jobs/job_1': () => json({ state: 'done', result: 7 }),
    })
    expect(await runJob(client, 'import', {}, recordingTerminal())).toBe(7)
  })

  it('cancels the job on the first Ctrl-C and waits for its end', async () => {
    const terminal = recordingTerminal()
    let end = (): void => {}
    const client = scripted({
      [START]: started,
      [EVENTS]: () =>
        new Response(
          new ReadableStream({
            start(controller) {
              end = () => {
                controller.enqueue(
                  new TextEncoder().encode('event: failed\ndata: {"code":"cancelled"}\n\n'),
                )
                controller.close()
              }
              setTimeout(() => terminal.abort())
            },
          }),
        ),
      'DELETE /understudy/v1/jobs/job_1': () => {
        end()
        return json({}, 202)
      },
    })
    await expect(runJob(client, 'import', {}, terminal)).rejects.toMatchObject({
      code: 'cancelled',
    })
    expect(client.asked).toContain('DELETE /understudy/v1/jobs/job_1')
  })

  it('throws what starting the job was answered', async () => {
    const client = scripted({
      [START]: () => json({ error: { message: 'No kind.', code: 'request_invalid' } }, 400),
    })
    await expect(runJob(client, 'x', {}, recordingTerminal())).rejects.toMatchObject({
      code: 'request-invalid',
    })
  })
})

describe('requestJson', () => {
  it.each([
    'not JSON',
    '',
    '{"error":"text"}',
    '{"error":{"code":"__proto__"}}',
  ])('makes an error of the odd answer %j', async body => {
    const client = scripted({ 'GET /x': () => new Response(body, { status: 500 }) })
    await expect(requestJson(client, '/x')).rejects.toMatchObject({
      code: 'job-failed',
      message: 'HTTP 500 from /x',
    })
  })
})

describe('connect', () => {
  const dataDir = '/nowhere'
  const nobody = async () => null
  const owner = (address: string | null) => ({ pid: 7, command: 'understudy up', address })
  let server: Server | null = null

  afterEach(() => {
    server?.close()
    server = null
  })

  it('opens the folder in this process when nobody owns it', async () => {
    const here = scripted({})
    expect(await connect({ dataDir }, { ownerOf: nobody, openHere: async () => here })).toBe(here)
  })

  it('passes on what opening throws', async () => {
    const busy = new UnderstudyError('data-folder-busy', 'busy')
    const openHere = () => Promise.reject(busy)
    await expect(connect({ dataDir }, { ownerOf: nobody, openHere })).rejects.toBe(busy)
  })

  it('becomes a client of whoever took the folder in between', async () => {
    const owners = [null, owner('http://127.0.0.1:1')]
    const client = await connect(
      { dataDir, env: {} },
      {
        ownerOf: async () => owners.shift() ?? null,
        openHere: () => Promise.reject(new UnderstudyError('data-folder-busy', 'busy')),
      },
    )
    await expect(client.request('/x')).rejects.toMatchObject({ code: 'upstream-unavailable' })
  })

  it('says who has the folder when it serves no HTTP', async () => {
    await expect(connect({ dataDir }, { ownerOf: async () => owner(null) })).rejects.toThrow(
      '/nowhere is in use by process 7 (understudy up), which serves no HTTP.',
    )
  })

  it('talks to the owner with the key', async () => {
    server = createServer(({ headers: { authorization } }, response) => {
      response.statusCode = authorization === 'Bearer k' ? 200 : 401
      response.end(JSON.stringify(authorization ?? ''))
    })
    await new Promise<void>(resolve => server?.listen(0, '127.0.0.1', resolve))
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const ownerOf = async () => owner(address)
    const client = await connect({ dataDir, env: { UNDERSTUDY_KEY: 'k' } }, { ownerOf })
    expect(await requestJson(client, '/v1/models')).toBe('Bearer k')
    const stranger = await connect({ dataDir, env: {} }, { ownerOf })
    await expect(stranger.request('/v1/models')).rejects.toMatchObject({
      code: 'key-invalid',
      help: expect.stringContaining('UNDERSTUDY_KEY'),
    })
  })
})
