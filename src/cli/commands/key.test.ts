/** `understudy key …` and `config check` on a folder that nobody serves: through the public API, in this process. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { main } from '../main.ts'
import { recordingTerminal } from '../testing.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'key-command-'))
})
afterAll(() => rm(dir, { recursive: true }))

async function run(words: readonly string[]) {
  const terminal = recordingTerminal({
    env: { HOME: dir, XDG_CONFIG_HOME: dir, DESK: 'secret-desk' },
  })
  const exit = await main(words, terminal)
  return { exit, ...terminal.written() }
}
const key = (...words: string[]) => run(['key', ...words, '--data', dir])

test('keys are made, listed, rotated and revoked; the token alone is on standard output, once', async () => {
  const refused = await key('create', 'desk', '--app', 'desk')
  expect(refused.exit).toBe(2)
  expect(refused.err).toContain('--role operator')
  const ops = await key('create', 'ops', '--role', 'operator')
  expect(ops.out).toMatch(/^usk_[0-9a-f]{12}_[0-9a-f]{48}\n$/u)
  expect(ops.err).toContain('not shown again')
  const desk = await key(
    'create',
    'desk',
    '--model',
    'a*',
    '--model',
    'b',
    '--rpm',
    '5',
    '--budget',
    '2.5',
    '--per',
    'day',
  )
  expect(desk.exit).toBe(0)
  const list = await key('list')
  expect(list.out).toContain('a*, b')
  expect(list.out).toContain('5 rpm, $2.5 per day')
  expect(list.out).not.toContain(desk.out.trim())
  const rotated = await key('rotate', 'desk', '--grace', '0s')
  expect(rotated.out).not.toBe(desk.out)
  expect((await key('revoke', 'desk')).out).toContain('refused from now on')
  const rows = JSON.parse((await key('list', '--json')).out) as {
    data: { name: string; revokedTime: unknown }[]
  }
  expect(rows.data.map(({ name, revokedTime }) => [name, revokedTime !== null])).toEqual([
    ['ops', false],
    ['desk', true],
  ])
}, 120_000)

test.each([
  [['create', 'x', '--budget', 'much'], '--budget must be a number'],
  [['create', 'a b'], 'name must be'],
  [['create'], 'NAME'],
])(
  'key %j is refused before anything is made',
  async (words, message) => {
    const { exit, err } = await key(...words)
    expect(exit).toBe(2)
    expect(err).toContain(message)
  },
  60_000,
)

test('config check says ok, or line and column, and no secret', async () => {
  const file = join(dir, 'check.yaml')
  await writeFile(file, 'upstreams:\n  a: {url: "http://x/v1", api-key: "${DESK}"}\n')
  const good = await run(['config', 'check', file])
  expect(good).toMatchObject({ exit: 0, out: expect.stringContaining('ok: upstreams 1') })
  const json = await run(['config', 'check', file, '--json'])
  expect(JSON.parse(json.out)).toMatchObject({
    ok: true,
    upstreams: [{ name: 'a', apiKey: '(set)' }],
  })
  expect(json.out).not.toContain('secret-desk')
  await writeFile(file, 'upstreams:\n  a: {ulr: "http://x/v1"}\n')
  const bad = await run(['config', 'check', file])
  expect(bad.exit).toBe(2)
  expect(bad.err).toContain('check.yaml line 2, column')
  expect((await run(['config', 'check', join(dir, 'none.yaml')])).err).toContain('cannot be read')
})
