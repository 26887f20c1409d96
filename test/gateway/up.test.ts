/** `understudy up` on a real data folder: one line when ready, answers, and an orderly end. */
import { mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { upCommand } from '../../src/cli/commands/up.ts'
import { recordingTerminal } from '../../src/cli/testing.ts'
import { openUnderstudy } from '../../src/gateway/index.ts'
import { lockOwner } from '../../src/workspace/index.ts'
import { chatInit } from './scripted.ts'

let dir: string
let recording: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'up-'))
  recording = join(dir, 'traffic.jsonl')
  const request = JSON.parse(String(chatInit().body)) as unknown
  const message = { role: 'assistant', content: 'card_lost', refusal: null }
  const response = {
    id: 'c',
    object: 'chat.completion',
    created: 1,
    model: 'm-1',
    choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
  }
  await writeFile(recording, JSON.stringify({ request, response, latency_ms: 5 }))
})
afterAll(() => rm(dir, { recursive: true }))

const home = (name: string) => ({ HOME: dir, XDG_CONFIG_HOME: join(dir, name) })

test('up serves until it is told to stop, and what it served is in the folder', async () => {
  const dataDir = join(dir, 'data')
  const terminal = recordingTerminal({ env: home('a') })
  const options = { data: dataDir, port: '0', lead: `replay:${recording}` }
  const running = upCommand.run({ positionals: [], options }, terminal)
  await expect.poll(() => terminal.written().out, { timeout: 20_000 }).toMatch(/\n$/)
  const ready = /^understudy listens on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(terminal.written().out)
  const address = String(ready?.[1])
  expect((await lockOwner(dataDir))?.address).toBe(address)
  const response = await fetch(`${address}/v1/chat/completions`, chatInit({ stream: true }))
  const id = String(response.headers.get('x-understudy-decision'))
  expect(await response.text()).toContain('card_lost')
  const path = `/understudy/v1/decisions/${id}`
  const atOnce = await (await fetch(address + path)).json()
  expect(atOnce).toMatchObject({ id, response: { id: 'c' }, isStream: true, isComplete: true })
  terminal.abort()
  expect(await running).toBe(0)
  expect(terminal.written().out).toBe(ready?.[0])
  await expect(fetch(address)).rejects.toThrow()

  const again = await openUnderstudy({ dataDir, env: home('a') })
  await again.workspace.settle()
  expect(await (await again.gateway.request(path)).json()).toEqual(atOnce)
  expect((await again.gateway.request('/v1/chat/completions', chatInit())).status).toBe(503)
  await again.close()
})

test('a folder that cannot take the address costs no caller anything, and gets it later', async () => {
  const dataDir = join(dir, 'full')
  const logged: string[] = []
  const opened = await openUnderstudy({
    dataDir,
    env: home('c'),
    writeLog: line => logged.push(line),
    listen: { port: 0 },
  })
  const lock = join(dataDir, 'lock', 'owner-1.json')
  await rm(lock)
  // A folder in its place refuses the file as a full disk does.
  await mkdir(lock)
  const listening = await opened.listen()
  try {
    expect(logged.join('')).toContain('Other commands do not find this gateway yet')
    expect((await fetch(`${listening.address}/healthz`)).status).toBe(200)
    await rmdir(lock)
    await expect
      .poll(async () => (await lockOwner(dataDir))?.address, { timeout: 10_000 })
      .toBe(listening.address)
  } finally {
    await listening.close()
    await opened.close()
  }
})

test.each([
  [{ host: '0.0.0.0' }, 'usage-invalid', 'UNDERSTUDY_KEY'],
  [{ port: 'http' }, 'usage-invalid', '--port'],
  [{ port: '1.5' }, 'usage-invalid', 'port'],
  [{ lead: 'replay:/nowhere' }, 'file-unreadable', 'JSON Lines'],
  [{ lead: 'api.openai.com' }, 'usage-invalid', 'https://api.openai.com/v1'],
  [{ config: '/nowhere.yaml' }, 'config-invalid', 'path'],
])('up with %j refuses and leaves the folder free', async (options, code, hint) => {
  const dataDir = join(dir, 'refused')
  const terminal = recordingTerminal({ env: home('b') })
  const failed = upCommand.run(
    { positionals: [], options: { data: dataDir, port: '0', ...options } },
    terminal,
  )
  const error = (await failed.catch(thrown => thrown)) as {
    code: string
    message: string
    help: string
  }
  expect(error.code).toBe(code)
  expect(`${error.message} ${error.help}`).toContain(hint)
  expect(terminal.written().out).toBe('')
  expect(await lockOwner(dataDir)).toBeNull()
})
