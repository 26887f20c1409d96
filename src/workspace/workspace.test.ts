/** A data folder in use: recording and projecting, two processes, broken content. */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openLedgerWriter, systemIo, type TracePayload, verifyLedger } from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import { ERASED_CONTENT, portChannel, type Store } from '../store/index.ts'
import { openBlobStore } from './blob-store.ts'
import { openChildWorkspace, openWorkspace } from './open-workspace.ts'
import { acquireLock, lockOwner } from './owner-lock.ts'
import { createProjector } from './projector.ts'
import type { LedgerEntry, OwnedWorkspace, TraceDescription } from './types.ts'

let root: string
const describeTrace = (trace: TracePayload): TraceDescription => {
  const { model, text } = trace.request as { model: string; text: string }
  if (text === 'hostile') throw new Error('cannot be described')
  return {
    model,
    promptTokens: 3,
    completionTokens: 1,
    task: { id: `task_${model}`, name: model, isDeclared: false, key: { model } },
    inputHash: sha256(text),
    isIndependent: true,
  }
}

function trace(n: number, change: Partial<TracePayload> = {}): LedgerEntry {
  const payload: TracePayload = {
    id: `dec_${String(n).padStart(6, '0')}`,
    identity: `line-${n}`,
    contentHash: `content-${n}`,
    source: 'import',
    time: new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString(),
    app: null,
    endpoint: '/v1/chat/completions',
    request: { model: `m${n % 3}`, text: `question ${n}` },
    response: { text: `secret answer ${n}` },
    status: 200,
    latencyMs: 5,
    isStream: false,
    isComplete: true,
    declaredTask: null,
    decision: null,
    ...change,
  }
  return { kind: 'trace', payload }
}

const many = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => trace(from + i))

const split = (side: 'training' | 'certification', droppedGroups: string[] = []): LedgerEntry => ({
  kind: 'split',
  payload: {
    task: 'task_m1',
    assignments: [{ inputHash: 'i1', group: 'g1', side }],
    droppedGroups,
  },
})

const lifeOfASpecialist: LedgerEntry[] = [
  {
    kind: 'specialist',
    payload: { hash: 's1', task: 'task_m1', taskName: 'm1', tier: 'reflex', manifest: { a: [1] } },
  },
  {
    kind: 'certification',
    payload: {
      id: 'cert_1',
      task: 'task_m1',
      specialist: 's1',
      certificationSet: 'set_1',
      look: 1,
      newestTime: null,
      outcome: { claimed: false },
    },
  },
  {
    kind: 'transition',
    payload: {
      task: 'task_m1',
      specialist: 's1',
      from: 'candidate',
      to: 'live',
      by: 'operator',
      certificate: 'cert_1',
      threshold: 0.5,
    },
  },
]

/** Everything the projection knows. */
async function contentOf(store: Store): Promise<unknown> {
  const tasks = await store.tasks()
  const traces = []
  for (const { task } of tasks) {
    for await (const page of store.tracesOfTask(task.id)) traces.push(...page)
  }
  return {
    tasks,
    traces,
    count: await store.traceCount(),
    cursors: await store.cursors(),
    assignments: await store.assignments('task_m1'),
    specialists: await store.specialists(),
    certificates: await store.certificates(),
    live: await store.live(),
    known: Object.fromEntries(await store.knownIdentities(['line-1', 'line-7', 'line-999'])),
  }
}

describe('a data folder', () => {
  let workspace: OwnedWorkspace
  const open = () =>
    openWorkspace({
      dataDir: join(root, 'data'),
      describe: describeTrace,
      signingKeyPath: join(root, 'key.pem'),
    })

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'understudy-workspace-'))
    workspace = await open()
    await workspace.settle()
  }, 60_000)
  afterAll(async () => {
    await workspace.close()
    rmSync(root, { recursive: true, force: true })
  })

  it('records, projects and reads back', async () => {
    const position = await workspace.append(trace(1))
    expect((await workspace.read(position)).payload).toEqual(trace(1).payload)
    await workspace.settle()
    expect(await workspace.store.trace('dec_000001')).toMatchObject({
      position,
      model: 'm1',
      task: 'task_m1',
      inputHash: sha256('question 1'),
    })
  })

  it('projects a trace that cannot be described without its task, and nonsense not at all', async () => {
    const hostile = trace(2, { request: { model: 'm', text: 'hostile' }, time: 'yesterday' })
    const nonsense: LedgerEntry = { kind: 'split', payload: { task: 'task_m1' } }
    const incomplete: LedgerEntry = { kind: 'trace', payload: { id: 'dec_bad', request: {} } }
    const before = workspace.health().unprojectedCount
    await workspace.appendAndProject([nonsense, hostile, incomplete, trace(3)])
    const row = await workspace.store.trace('dec_000002')
    expect(row).toMatchObject({ task: null, model: null })
    expect(row?.time).toMatch(/^20\d\d-/)
    expect(await workspace.store.trace('dec_000003')).not.toBeNull()
    expect(workspace.health()).toMatchObject({ store: 'ok', unprojectedCount: before + 2 })
  })

  it('lets a child record on its own and use the same database', async () => {
    const { port1, port2 } = new MessageChannel()
    workspace.serveChild(portChannel(port1))
    const child = await openChildWorkspace({
      dataDir: workspace.dataDir,
      channel: portChannel(port2),
      describe: describeTrace,
      signingKeyPath: join(root, 'key.pem'),
    })
    const [position] = await child.appendAndProject(many(100, 50))
    expect(position?.writer).not.toBe((await workspace.append(trace(4))).writer)
    expect((await workspace.store.trace('dec_000149'))?.position.writer).toBe(position?.writer)
    await workspace.settle()
    expect(await child.store.traceCount()).toBe(await workspace.store.traceCount())
    await child.close()
    port1.close()
  })

  it('projects what a child left behind when its channel closes', async () => {
    const { port1, port2 } = new MessageChannel()
    workspace.serveChild(portChannel(port1))
    const orphan = await openLedgerWriter({
      dir: join(workspace.dataDir, 'ledger'),
      node: workspace.node,
      signingKeyPath: join(root, 'key.pem'),
    })
    await orphan.append(trace(200))
    port2.close()
    await new Promise(resolve => port1.once('close', resolve))
    await workspace.settle()
    expect(await workspace.store.trace('dec_000200')).not.toBeNull()
    await orphan.close()
  })

  it('is rebuilt to exactly what it was, with erasures, several writers and claims in any order', async () => {
    const later = await openLedgerWriter({
      dir: join(workspace.dataDir, 'ledger'),
      node: workspace.node,
      signingKeyPath: join(root, 'key.pem'),
    })
    await workspace.appendAndProject([
      split('certification'),
      ...lifeOfASpecialist,
      ...many(300, 20),
    ])
    await later.append(split('training', ['g1']))
    await later.append(trace(7))
    await workspace.catchUp()
    await workspace.erase('dec_000007')
    await workspace.erase('dec_000001')
    await workspace.appendAndProject(many(400, 5))
    const incremental = await contentOf(workspace.store)
    expect(incremental).toMatchObject({
      live: [{ specialist: 's1' }],
      assignments: [{ side: 'training' }],
      known: { 'line-1': ERASED_CONTENT, 'line-7': ERASED_CONTENT },
    })
    await workspace.rebuild()
    expect(await contentOf(workspace.store)).toEqual(incremental)
    await later.close()
    const ledger = join(workspace.dataDir, 'ledger')
    expect(await verifyLedger(ledger)).toMatchObject({ ok: true, erasedCount: 2 })
    const writers = readdirSync(join(ledger, workspace.node))
    const text = writers.map(each =>
      readFileSync(join(ledger, workspace.node, each, '000000.ledger'), 'utf8'),
    )
    expect(text.join('')).not.toContain('secret answer 7"')
    await expect(workspace.erase('dec_000007')).rejects.toMatchObject({ code: 'not-found' })
  })

  it('refuses a second owner and tells it where the first one is', async () => {
    await expect(open()).rejects.toMatchObject({
      code: 'data-folder-busy',
      message: expect.stringContaining('no address'),
    })
    await workspace.setAddress('http://127.0.0.1:4000')
    await expect(open()).rejects.toMatchObject({
      code: 'data-folder-busy',
      details: { pid: process.pid, address: 'http://127.0.0.1:4000' },
    })
    expect(await lockOwner(workspace.dataDir)).toMatchObject({ address: 'http://127.0.0.1:4000' })
  })

  it('knows after closing and opening what it knew before', async () => {
    const before = await workspace.store.traceCount()
    await workspace.append(trace(500))
    await workspace.close()
    expect(await lockOwner(workspace.dataDir)).toBeNull()
    workspace = await open()
    await workspace.settle()
    expect(await workspace.store.traceCount()).toBe(before + 1)
  })
})

describe('a store that is away', () => {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'understudy-workspace-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  it('stops neither opening nor recording, and is shown', async () => {
    const workspace = await openWorkspace({
      dataDir: root,
      describe: describeTrace,
      databaseUrl: 'postgres://127.0.0.1:1/none',
      signingKeyPath: join(root, 'key.pem'),
    })
    await workspace.append(trace(1))
    await expect(workspace.settle()).rejects.toMatchObject({ code: 'store-unavailable' })
    expect(workspace.health()).toMatchObject({ ledger: 'ok', store: 'failing' })
    await workspace.close()
    expect(await verifyLedger(join(root, 'ledger'))).toMatchObject({ ok: true, recordCount: 2 })
  })

  it('is caught up from the ledger when it is back, with few rows kept meanwhile', async () => {
    const ledgerDir = join(root, 'ledger')
    const writer = await openLedgerWriter({
      dir: ledgerDir,
      node: 'n',
      signingKeyPath: join(root, 'key.pem'),
    })
    const seen = new Set<string>()
    let cursorSeq = -1
    let isAway = true
    const store = {
      cursors: async () => [],
      async apply(batch: Parameters<Store['apply']>[0]) {
        if (isAway)
          throw Object.assign(new Error('away'), {
            [Symbol.for('understudy.error')]: true,
            details: {},
          })
        for (const row of batch.traces) seen.add(row.id)
        for (const { seq, fromSeq } of batch.cursors) if (fromSeq <= cursorSeq + 1) cursorSeq = seq
      },
    } as unknown as Store
    const projector = createProjector({
      ledgerDir,
      writer: writer.writer,
      store,
      describe: describeTrace,
      waitingMax: 10,
    })
    for (const entry of many(0, 95)) projector.note({ ...entry, ...(await writer.append(entry)) })
    await expect(projector.settle()).rejects.toThrow('away')
    isAway = false
    await projector.settle()
    expect(seen.size).toBe(95)
    expect(cursorSeq).toBe(95)
    await projector.close()
    await writer.close()
  })

  it('counts what a full disk refuses, and answers for the rest', async () => {
    let isFull = false
    const workspace = await openWorkspace({
      dataDir: root,
      describe: describeTrace,
      databaseUrl: 'postgres://127.0.0.1:1/none',
      signingKeyPath: join(root, 'key.pem'),
      ledgerIo: {
        ...systemIo,
        write: (...args) =>
          isFull ? Promise.reject(new Error('no space left on device')) : systemIo.write(...args),
      },
    })
    isFull = true
    await expect(workspace.append(trace(1))).rejects.toMatchObject({ code: 'ledger-unwritable' })
    expect(workspace.health()).toMatchObject({ ledger: 'failing', unrecordedCount: 1 })
    isFull = false
    await workspace.append(trace(2))
    expect(workspace.health()).toMatchObject({ ledger: 'ok', unrecordedCount: 1 })
    await workspace.close()
  })
})

describe('a broken data folder', () => {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'understudy-workspace-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))
  const open = (dataDir: string) =>
    openWorkspace({ dataDir, describe: describeTrace, signingKeyPath: join(root, 'key.pem') })

  it('is refused when it is a file, or below one', async () => {
    writeFileSync(join(root, 'file'), '')
    await expect(open(join(root, 'file'))).rejects.toMatchObject({ code: 'file-unreadable' })
    await expect(open(join(root, 'file', 'x'))).rejects.toMatchObject({ code: 'file-unreadable' })
  })

  for (const junk of ['', 'junk', '{}', '{"node":"../up"}', '{"node":7}', 'null']) {
    it(`is refused when node.json says ${JSON.stringify(junk)}, and stays free for others`, async () => {
      writeFileSync(join(root, 'node.json'), junk)
      await expect(open(root)).rejects.toMatchObject({ code: 'file-corrupt' })
      expect(await lockOwner(root)).toBeNull()
    })
  }

  it('is refused when it may not be written', { skip: process.getuid?.() === 0 }, async () => {
    chmodSync(root, 0o500)
    await expect(open(root)).rejects.toMatchObject({ code: 'file-unreadable' })
  })

  it('is taken over when the lock file is junk', async () => {
    mkdirSync(join(root, 'lock'))
    for (const [i, junk] of ['', 'junk', '{"pid":-1}', '[]', 'null'].entries()) {
      writeFileSync(join(root, 'lock', `owner-${(i + 1) * 10}.json`), junk)
      const lock = await acquireLock(root, { command: 'test' })
      expect((await lockOwner(root))?.pid).toBe(process.pid)
      await lock.release()
    }
  })
})

describe('the owner lock', () => {
  let child: ChildProcess | null = null
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'understudy-lock-'))
  })
  afterEach(() => {
    child?.kill('SIGKILL')
    rmSync(root, { recursive: true, force: true })
  })
  const lockText = () => {
    const dir = join(root, 'lock')
    return readFileSync(join(dir, readdirSync(dir).sort().at(-1) as string), 'utf8')
  }

  it('goes to exactly one of many who find it free or its owner dead', async () => {
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 12 }, () => acquireLock(root, { command: 'test' })),
      )
      const won = outcomes.filter(each => each.status === 'fulfilled')
      expect(won).toHaveLength(1)
      const lost = outcomes.filter(each => each.status === 'rejected')
      for (const { reason } of lost) expect(reason.code).toBe('data-folder-busy')
      if (round % 2 === 0) await won[0]?.value.release()
      else {
        // As if the owner had died: the process number now belongs to a process that began at another time.
        const content = JSON.parse(lockText())
        const [name] = readdirSync(join(root, 'lock'))
        writeFileSync(
          join(root, 'lock', name as string),
          JSON.stringify({ ...content, startTime: '1' }),
        )
      }
    }
  })

  it('is held by a process that lives, and free once it was killed', async () => {
    child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    const lock = await acquireLock(root, { command: 'test' })
    const content = JSON.parse(lockText())
    await lock.release()
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    const path = join(root, 'lock', 'owner-9.json')
    writeFileSync(path, JSON.stringify({ ...content, pid: child.pid, startTime }))
    await expect(acquireLock(root, { command: 'test' })).rejects.toMatchObject({
      code: 'data-folder-busy',
      details: { pid: child.pid },
    })
    child.kill('SIGKILL')
    await new Promise(resolve => child?.once('exit', resolve))
    await (await acquireLock(root, { command: 'test' })).release()
  })

  it('waits for a sign of life where the process cannot be seen from here', async () => {
    const lock = await acquireLock(root, { command: 'test' })
    const content = JSON.parse(lockText())
    await lock.release()
    const path = join(root, 'lock', 'owner-9.json')
    writeFileSync(
      path,
      JSON.stringify({ ...content, realm: 'another container', isReleased: false }),
    )
    expect(await lockOwner(root)).not.toBeNull()
    const later = { now: () => Date.now() + 60_000, monotonic: () => 0 }
    expect(await lockOwner(root, later)).toBeNull()
  })
})

describe('the blob store', () => {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'understudy-blobs-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  it('gives back what was put, once, under its hash', async () => {
    const blobs = openBlobStore(root)
    const bytes = new Uint8Array([1, 2, 3])
    const hash = await blobs.put(bytes)
    expect(hash).toBe(sha256(bytes))
    expect(await blobs.put(bytes)).toBe(hash)
    expect(new Uint8Array(await blobs.get(hash))).toEqual(bytes)
    expect(existsSync(join(root, 'artifacts', 'sha256', hash.slice(0, 2), hash.slice(2)))).toBe(
      true,
    )
  })

  it('never returns bytes that do not match their name, and heals when they are put again', async () => {
    const blobs = openBlobStore(root)
    const hash = await blobs.put(new Uint8Array([1, 2, 3]))
    writeFileSync(join(root, 'artifacts', 'sha256', hash.slice(0, 2), hash.slice(2)), 'junk')
    await expect(blobs.get(hash)).rejects.toMatchObject({ code: 'file-corrupt' })
    await blobs.put(new Uint8Array([1, 2, 3]))
    expect((await blobs.get(hash)).length).toBe(3)
  })

  it('refuses names that are no hash', async () => {
    const blobs = openBlobStore(root)
    await expect(blobs.get('../../../etc/passwd')).rejects.toMatchObject({ code: 'not-found' })
    await expect(blobs.get('0'.repeat(64))).rejects.toMatchObject({ code: 'not-found' })
  })
})
