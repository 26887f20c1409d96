/** The ledger commands on a real data folder, as a person runs them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { describeTrace } from '../../tasks/index.ts'
import { type OwnedWorkspace, openWorkspace } from '../../workspace/index.ts'
import type { CommandInput } from '../command.ts'
import { recordingTerminal } from '../testing.ts'
import { ledgerCommands } from './ledger.ts'

let root: string
let dataDir: string

function open(): Promise<OwnedWorkspace> {
  return openWorkspace({ dataDir, describe: describeTrace })
}

async function run(
  name: string,
  options: CommandInput['options'] = {},
  positionals: string[] = [],
) {
  const terminal = recordingTerminal()
  const command = ledgerCommands.find(each => each.name === `ledger ${name}`)
  const code = await command?.run({ positionals, options: { data: dataDir, ...options } }, terminal)
  return { code, ...terminal.written() }
}

function ledgerFile(): string {
  const files = readdirSync(join(dataDir, 'ledger'), { recursive: true, encoding: 'utf8' })
  const first = files.filter(name => name.endsWith('000000.ledger')).sort()[0]
  return join(dataDir, 'ledger', first as string)
}

const trace = (id: string) => ({
  kind: 'trace' as const,
  payload: {
    id,
    identity: id,
    contentHash: 'c',
    source: 'import',
    time: '2026-01-01T00:00:00.000Z',
    app: null,
    endpoint: '/v1/chat/completions',
    request: { model: 'm', messages: [{ role: 'user', content: 'a very personal question' }] },
    response: {},
    status: 200,
    latencyMs: null,
    isStream: false,
    isComplete: true,
    declaredTask: null,
    decision: null,
  },
})

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'understudy-cli-ledger-'))
  // The signing key goes into the user's configuration folder; here that is a temporary one.
  process.env.XDG_CONFIG_HOME = join(root, 'config')
  dataDir = join(root, 'data')
  const workspace = await open()
  await workspace.appendAndProject([trace('dec_1'), trace('dec_2')])
  await workspace.close()
}, 120_000)
afterAll(() => {
  delete process.env.XDG_CONFIG_HOME
  rmSync(root, { recursive: true, force: true })
})

describe('understudy ledger', () => {
  let intact: Buffer
  beforeEach(() => {
    intact = readFileSync(ledgerFile())
  })

  it('says that all is well, in words and as JSON', async () => {
    const text = await run('verify')
    expect(text).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^3 records of 1 writers.*\nok\n$/s),
    })
    const json = JSON.parse((await run('verify', { json: true })).out)
    expect(json).toMatchObject({ ok: true, recordCount: 3, firstAltered: null })
  })

  it('finds the head that it printed, and says when it is gone', async () => {
    const head = await run('head')
    expect(head.out).toMatch(/^[0-9a-f]{64}\n$/)
    expect((await run('verify', { head: [head.out] })).code).toBe(0)
    const lines = intact.toString('utf8').split('\n')
    writeFileSync(ledgerFile(), `${lines.slice(0, -3).join('\n')}\n`)
    const cut = await run('verify', { head: [head.out] })
    writeFileSync(ledgerFile(), intact)
    expect(cut).toMatchObject({
      code: 1,
      out: expect.stringContaining('MISSING: no record has the head'),
    })
    await expect(run('verify', { head: ['nonsense'] })).rejects.toMatchObject({
      code: 'usage-invalid',
    })
  })

  it('names the first altered record', async () => {
    writeFileSync(ledgerFile(), intact.toString('utf8').replace('personal', 'harmless'))
    const altered = await run('verify')
    writeFileSync(ledgerFile(), intact)
    expect(altered.code).toBe(1)
    expect(altered.out).toMatch(/ALTERED: record 1 of wr_\w+ .*the payload was altered/)
    expect(altered.out).toMatch(/NOT OK\n$/)
  })

  it('verifies while a server owns the folder, and refuses the rest, saying who owns it', async () => {
    const owner = await open()
    await owner.setAddress('http://127.0.0.1:4001')
    expect((await run('verify')).code).toBe(0)
    for (const name of ['rebuild', 'erase']) {
      await expect(run(name, {}, ['dec_1'])).rejects.toMatchObject({
        code: 'data-folder-busy',
        message: expect.stringContaining('http://127.0.0.1:4001'),
      })
    }
    await owner.close()
  })

  it('erases a trace and rebuilds the database without it', async () => {
    expect(await run('erase', {}, ['dec_1'])).toMatchObject({ code: 0 })
    expect(await run('rebuild')).toMatchObject({
      code: 0,
      out: 'the database is rebuilt: 1 traces\n',
    })
    expect(await run('verify')).toMatchObject({ code: 0, out: expect.stringContaining('1 erased') })
    await expect(run('erase', {}, ['dec_1'])).rejects.toMatchObject({ code: 'not-found' })
  })
})
