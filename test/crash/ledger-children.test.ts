/** Children of the owner over process channels: they use its database, and what they leave behind is picked up. */
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { verifyLedger } from '../../src/ledger/index.ts'
import { processChannel } from '../../src/store/index.ts'
import { type OwnedWorkspace, openWorkspace } from '../../src/workspace/index.ts'

const CHILD = fileURLToPath(new URL('./workspace-child.mjs', import.meta.url))
let root: string
let workspace: OwnedWorkspace

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'understudy-children-'))
  workspace = await openWorkspace({
    dataDir: join(root, 'data'),
    signingKeyPath: join(root, 'key.pem'),
    describe: () => ({
      model: null,
      promptTokens: null,
      completionTokens: null,
      task: null,
      inputHash: null,
      isIndependent: false,
    }),
  })
  await workspace.settle()
}, 120_000)
afterAll(async () => {
  await workspace.close()
  rmSync(root, { recursive: true, force: true })
})

function start(name: string, ending: 'close' | 'hang') {
  const args = [workspace.dataDir, join(root, 'key.pem'), name, ending]
  const child = fork(CHILD, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  workspace.serveChild(processChannel(child))
  let known: unknown = null
  child.on('message', (message: { known?: unknown }) => {
    known = message.known ?? known
  })
  const exit = new Promise<{ code: number | null; known: unknown }>(resolve =>
    child.once('exit', code => resolve({ code, known })),
  )
  return { exit }
}

it('several children record and project at once, and end by themselves', async () => {
  const outcomes = await Promise.all(['a', 'b', 'c'].map(name => start(name, 'close').exit))
  expect(outcomes).toEqual(['a', 'b', 'c'].map(name => ({ code: 0, known: [`${name}-1`] })))
  expect(await workspace.store.traceCount()).toBe(6)
  expect(await verifyLedger(join(workspace.dataDir, 'ledger'))).toMatchObject({ ok: true })
})

it('the owner projects what a killed child had recorded', async () => {
  await start('killed', 'hang').exit
  await workspace.catchUp()
  const known = await workspace.store.knownIdentities(['killed-1', 'killed-2', 'killed-3'])
  expect(known.size).toBe(3)
})
