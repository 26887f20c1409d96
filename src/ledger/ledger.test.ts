/** The ledger as a whole: written, read back, damaged in every way we know, verified. */
import { generateKeyPairSync } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fixedClock } from '../util/index.ts'
import {
  eraseRecord,
  type LedgerWriter,
  type LedgerWriterOptions,
  openLedgerWriter,
  readRecord,
  type ScanItem,
  type SegmentIo,
  scanWriter,
  systemIo,
  verifyLedger,
  type WrittenRecord,
} from './index.ts'

let root: string
let dir: string
const clock = fixedClock(Date.UTC(2026, 10, 23))

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'understudy-ledger-'))
  dir = join(root, 'ledger')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function open(options: Partial<LedgerWriterOptions> = {}): Promise<LedgerWriter> {
  return openLedgerWriter({
    dir,
    node: 'n1',
    clock,
    signingKeyPath: join(root, 'key.pem'),
    ...options,
  })
}

const trace = (n: number) => ({ kind: 'trace' as const, payload: { n, text: `hello ${n} ✓` } })

async function write(count: number, options: Partial<LedgerWriterOptions> = {}) {
  const writer = await open(options)
  const written: WrittenRecord[] = []
  for (let n = 0; n < count; n++) written.push(await writer.append(trace(n)))
  await writer.close()
  return { writer: writer.writer, written, path: join(dir, 'n1', writer.writer) }
}

async function scanned(writer: string): Promise<ScanItem[]> {
  const items: ScanItem[] = []
  for await (const item of scanWriter(dir, writer)) items.push(item)
  return items
}

function edit(path: string, from: string, to: string): void {
  const before = readFileSync(path)
  const at = before.indexOf(from)
  expect(at).toBeGreaterThanOrEqual(0)
  const after = Buffer.concat([
    before.subarray(0, at),
    Buffer.from(to),
    before.subarray(at + Buffer.byteLength(from)),
  ])
  writeFileSync(path, after)
}

/** Byte ranges of the two lines of each record. */
function recordsOf(path: string): Buffer[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  const records: Buffer[] = []
  for (let i = 0; i < lines.length; i += 2) {
    records.push(Buffer.from(`${lines[i]}\n${lines[i + 1]}\n`))
  }
  return records
}

describe('a ledger writer', () => {
  it('numbers records from its genesis on and reads each one back by position', async () => {
    const { written, writer } = await write(3)
    expect(written.map(({ position }) => position.seq)).toEqual([1, 2, 3])
    const record = await readRecord(dir, (written[1] as WrittenRecord).position)
    expect(record).toEqual({ kind: 'trace', payload: trace(1).payload, ...written[1] })
    const first = (await scanned(writer))[0]
    expect(first).toMatchObject({ record: { kind: 'genesis', payload: { node: 'n1', writer } } })
  })

  it('writes headers and payloads as lines that a person can read', async () => {
    const { path } = await write(1)
    const [, , header, payload] = readFileSync(join(path, '000000.ledger'), 'utf8').split('\n')
    expect(JSON.parse(header as string)).toMatchObject({ seq: 1, kind: 'trace' })
    expect(JSON.parse((payload as string).slice(32))).toEqual(trace(0).payload)
  })

  it('puts what is appended in one tick into one write', async () => {
    let writeCount = 0
    const io: SegmentIo = {
      ...systemIo,
      write: (...args) => {
        writeCount++
        return systemIo.write(...args)
      },
    }
    const writer = await open({ io })
    const before = writeCount
    await writer.appendMany(Array.from({ length: 100 }, (_, n) => trace(n)))
    expect(writeCount - before).toBe(1)
    await writer.close()
  })

  it('begins a new segment when the old one is full, and the chain goes on', async () => {
    const { path, writer } = await write(20, { segmentBytes: 2_000 })
    expect(readdirSync(path).filter(name => name.endsWith('.ledger')).length).toBeGreaterThan(3)
    const items = await scanned(writer)
    expect(items.map(item => (item.type === 'record' ? item.fault : item.type))).toEqual(
      Array(21).fill(null),
    )
    expect((await verifyLedger(dir)).ok).toBe(true)
  })

  it('goes on from any cursor that an earlier scan returned', async () => {
    const { writer } = await write(20, { segmentBytes: 2_000 })
    const all = await scanned(writer)
    for (const item of all) {
      if (item.type !== 'record') throw new Error('damaged')
      let count = 0
      for await (const later of scanWriter(dir, writer, item.next)) {
        expect(later).toMatchObject({ type: 'record', fault: null })
        count++
      }
      expect(count).toBe(20 - item.record.position.seq)
    }
  })

  it('refuses a record that is larger than the ledger takes, and goes on', async () => {
    const writer = await open()
    const huge = { kind: 'trace' as const, payload: { text: 'x'.repeat(65 * 1024 * 1024) } }
    await expect(writer.append(huge)).rejects.toMatchObject({ code: 'ledger-unwritable' })
    await writer.append(trace(1))
    expect(writer.health()).toMatchObject({ refusedCount: 1 })
    await writer.close()
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, recordCount: 2 })
  })

  it('refuses what does not fit into its queue instead of growing without end', async () => {
    const writer = await open({ queueBytesMax: 1_000 })
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, (_, n) => writer.append(trace(n))),
    )
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    expect(refused.length).toBeGreaterThan(20)
    expect(refused[0]).toMatchObject({ reason: { code: 'ledger-unwritable' } })
    await writer.append(trace(1))
    await writer.close()
  })

  it('refuses to append after it was closed', async () => {
    const writer = await open()
    await writer.close()
    await expect(writer.append(trace(1))).rejects.toMatchObject({ code: 'ledger-unwritable' })
  })

  it('says which folder it cannot write', async () => {
    writeFileSync(dir, 'a file')
    await expect(open()).rejects.toMatchObject({
      code: expect.stringMatching(/ledger-unwritable|file-unreadable/),
    })
  })

  it('makes a signing key that only its user can read, and refuses one that is none', async () => {
    await write(1)
    expect(statSync(join(root, 'key.pem')).mode & 0o777).toBe(0o600)
    writeFileSync(join(root, 'key.pem'), 'junk')
    await expect(open()).rejects.toMatchObject({ code: 'config-invalid' })
  })
})

describe('a disk that fails', () => {
  /** Fails the n-th of all calls, counted from 1, after half of a write. */
  function failing(nth: number, only?: keyof SegmentIo): SegmentIo & { count: number } {
    const io = {
      count: 0,
      async write(...[handle, bytes, position]: Parameters<SegmentIo['write']>) {
        if (fails('write')) {
          await systemIo.write(handle, bytes.subarray(0, bytes.length >> 1), position)
          throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
        }
        return systemIo.write(handle, bytes, position)
      },
      async truncate(...args: Parameters<SegmentIo['truncate']>) {
        if (fails('truncate')) throw new Error('truncate failed')
        return systemIo.truncate(...args)
      },
      async sync(...args: Parameters<SegmentIo['sync']>) {
        if (fails('sync')) throw new Error('sync failed')
        return systemIo.sync(...args)
      },
    }
    const fails = (call: keyof SegmentIo) =>
      only === undefined || only === call ? ++io.count === nth : false
    return io
  }

  for (const durability of ['group', 'sync'] as const) {
    it(`loses nothing acknowledged whichever call fails (${durability})`, async () => {
      for (let nth = 1; ; nth++) {
        rmSync(dir, { recursive: true, force: true })
        const io = failing(nth)
        const writer = await open({ io, durability, segmentBytes: 1_500 }).catch(() => null)
        if (writer === null) continue
        const acknowledged: WrittenRecord[] = []
        for (let n = 0; n < 12; n++) {
          const outcome = await writer.append(trace(n)).catch(() => null)
          if (outcome !== null) acknowledged.push(outcome)
        }
        await writer.close()
        expect(acknowledged.length).toBeGreaterThanOrEqual(11)
        for (const { position } of acknowledged) {
          expect((await readRecord(dir, position)).position).toEqual(position)
        }
        const report = await verifyLedger(dir)
        expect(report.firstAltered, `call ${nth} failed`).toBeNull()
        expect(report.tornTails).toEqual([])
        expect(report.recordCount).toBe(acknowledged.length + 1)
        if (io.count < nth) break
      }
    })
  }

  it('cuts a batch off that could be neither synced nor taken back, before it writes on', async () => {
    let isBroken = false
    const broken = () => Promise.reject(new Error('read-only file system'))
    const writer = await open({
      durability: 'sync',
      io: {
        ...systemIo,
        sync: (...args) => (isBroken ? broken() : systemIo.sync(...args)),
        truncate: (...args) => (isBroken ? broken() : systemIo.truncate(...args)),
      },
    })
    await writer.append(trace(1))
    isBroken = true
    await expect(writer.append(trace(2))).rejects.toMatchObject({ code: 'ledger-unwritable' })
    isBroken = false
    await writer.append(trace(3))
    await writer.close()
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, recordCount: 3 })
  })

  it('names as its head only what is acknowledged', async () => {
    let release = (): void => {}
    let hangs = false
    const io: SegmentIo = {
      ...systemIo,
      async sync(handle) {
        if (hangs) await new Promise<void>(resolve => (release = resolve))
        return systemIo.sync(handle)
      },
    }
    const writer = await open({ durability: 'sync', io })
    await writer.append(trace(1))
    const before = writer.head()
    const path = join(dir, 'n1', writer.writer, '000000.ledger')
    hangs = true
    const late = writer.append(trace(2))
    await expect.poll(() => statSync(path).size).toBeGreaterThan(before.offset)
    expect(writer.head()).toMatchObject({ seq: before.seq, offset: before.offset })
    hangs = false
    release()
    await late
    expect(writer.head().offset).toBe(statSync(path).size)
    await writer.close()
  })

  it('writes on in the next segment where one cannot be closed', async () => {
    const io: SegmentIo = {
      ...systemIo,
      write(handle, bytes, position) {
        const close = handle.close.bind(handle)
        handle.close = () => close().then(() => Promise.reject(new Error('quota exceeded')))
        return systemIo.write(handle, bytes, position)
      },
    }
    const writer = await open({ io, segmentBytes: 1_500 })
    for (let n = 0; n < 12; n++) await writer.append(trace(n))
    expect(writer.head().segment).toBeGreaterThan(1)
    expect(writer.health()).toMatchObject({ error: expect.stringContaining('quota exceeded') })
    await writer.close().catch(() => {})
    expect((await verifyLedger(dir)).firstAltered).toBeNull()
  })

  it('says so, and records again once the disk does', async () => {
    let isFull = false
    const io: SegmentIo = {
      ...systemIo,
      write: (...args) =>
        isFull ? Promise.reject(new Error('no space left on device')) : systemIo.write(...args),
      truncate: (...args) =>
        isFull ? Promise.reject(new Error('truncate failed')) : systemIo.truncate(...args),
    }
    const writer = await open({ io })
    await writer.append(trace(1))
    isFull = true
    await expect(writer.append(trace(2))).rejects.toMatchObject({
      code: 'ledger-unwritable',
      message: expect.stringContaining('no space left'),
    })
    expect(writer.health()).toMatchObject({ state: 'failing', refusedCount: 1 })
    isFull = false
    await writer.append(trace(3))
    expect(writer.health().state).toBe('ok')
    await writer.close()
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, recordCount: 3 })
  })
})

describe('verifying', () => {
  it('finds nothing wrong with an empty folder or with what a writer is writing', async () => {
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, recordCount: 0 })
    const writer = await open()
    await writer.append(trace(1))
    appendFileSync(join(dir, 'n1', writer.writer, '000000.ledger'), '{"half a header')
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, recordCount: 2, tornTails: [] })
    await writer.close()
  })

  const damages: {
    name: string
    damage(path: string): void
    seq: number
    fault: RegExp
  }[] = [
    {
      name: 'an edited payload',
      damage: path => edit(join(path, '000000.ledger'), 'hello 1', 'HELLO 1'),
      seq: 2,
      fault: /payload was altered/,
    },
    {
      name: 'an edited header',
      damage: path => edit(join(path, '000000.ledger'), '"seq":2', '"seq":7'),
      seq: 2,
      fault: /header was altered/,
    },
    {
      name: 'swapped records',
      damage: path => {
        const file = join(path, '000000.ledger')
        const [a, b, c, ...rest] = recordsOf(file) as [Buffer, Buffer, Buffer, ...Buffer[]]
        writeFileSync(file, Buffer.concat([a, c, b, ...rest]))
      },
      seq: 1,
      fault: /record 1 stands where record 3 belongs/,
    },
    {
      name: 'a removed record',
      damage: path => {
        const file = join(path, '000000.ledger')
        const [a, b, , ...rest] = recordsOf(file) as [Buffer, Buffer, Buffer, ...Buffer[]]
        writeFileSync(file, Buffer.concat([a, b, ...rest]))
      },
      seq: 3,
      fault: /stands where record 2 belongs/,
    },
    {
      name: 'a deleted middle segment',
      damage: path => rmSync(join(path, '000001.ledger')),
      seq: 3,
      fault: /000001.ledger is missing/,
    },
    {
      name: 'a deleted first segment',
      damage: path => rmSync(join(path, '000000.ledger')),
      seq: 0,
      fault: /000000.ledger is missing/,
    },
    {
      name: 'binary junk in a full segment',
      damage: path => writeFileSync(join(path, '000000.ledger'), Buffer.alloc(5_000, 0xfe)),
      seq: 0,
      fault: /no record header/,
    },
    {
      name: 'a line without end',
      damage: path => writeFileSync(join(path, '000000.ledger'), 'x'.repeat(3_000_000)),
      seq: 0,
      fault: /no record header/,
    },
    {
      name: 'a middle segment that breaks off',
      damage: path => {
        const file = join(path, '000001.ledger')
        truncateSync(file, statSync(file).size - 10)
      },
      seq: 5,
      fault: /incomplete/,
    },
    {
      name: 'a payload overwritten without an erasure record',
      damage: path => {
        const payload = readFileSync(join(path, '000000.ledger'), 'utf8').split('\n')[3] as string
        edit(join(path, '000000.ledger'), payload, '#'.repeat(Buffer.byteLength(payload)))
      },
      seq: 1,
      fault: /without an erasure record/,
    },
    {
      name: 'the last segment cut at a record, behind which a signed head lay',
      damage: path => {
        const file = join(
          path,
          readdirSync(path)
            .filter(each => each.endsWith('.ledger'))
            .at(-1) as string,
        )
        const records = recordsOf(file)
        writeFileSync(file, Buffer.concat(records.slice(0, -1)))
      },
      seq: 10,
      fault: /is missing: a signed head names it/,
    },
  ]
  for (const { name, damage, seq, fault } of damages) {
    it(`names the first altered record: ${name}`, async () => {
      const { path, writer } = await write(10, { segmentBytes: 1_000 })
      expect((await verifyLedger(dir)).ok).toBe(true)
      damage(path)
      const report = await verifyLedger(dir)
      expect(report.ok).toBe(false)
      expect(report.firstAltered).toMatchObject({
        writer,
        seq,
        fault: expect.stringMatching(fault),
      })
    })
  }

  it('finds the head that was noted down, and misses it after the ledger was written anew', async () => {
    await write(5)
    const [head] = (await verifyLedger(dir)).heads
    const heads = [head?.hash as string]
    expect(await verifyLedger(dir, { heads })).toMatchObject({
      ok: true,
      asked: [{ isFound: true }],
    })
    rmSync(dir, { recursive: true })
    await write(5)
    const report = await verifyLedger(dir, { heads })
    expect(report).toMatchObject({ ok: false, firstAltered: null, asked: [{ isFound: false }] })
  })

  it('notices that a whole writer is gone, because the next one committed to it', async () => {
    const first = await write(2)
    const second = await write(2)
    await write(1)
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, writerCount: 3 })
    rmSync(second.path, { recursive: true })
    expect((await verifyLedger(dir)).firstAltered).toMatchObject({
      writer: second.writer,
      fault: expect.stringContaining('whole writer is missing'),
    })
    rmSync(first.path, { recursive: true })
    expect((await verifyLedger(dir)).ok).toBe(false)
  })

  it('does not accept heads signed by another key where the key is known', async () => {
    await write(1)
    const { publicKey } = generateKeyPairSync('ed25519')
    const other = Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url')
    const [own] = (await verifyLedger(dir)).signatures.keys
    expect((await verifyLedger(dir, { publicKey: own as string })).ok).toBe(true)
    const report = await verifyLedger(dir, { publicKey: other.toString('base64') })
    expect(report).toMatchObject({
      ok: false,
      signatures: { foreignCount: 1, unsignedRecordCount: 2 },
    })
  })

  it('reports edited and unreadable heads', async () => {
    const { path } = await write(1)
    edit(join(path, 'heads.jsonl'), '"seq":1', '"seq":0')
    appendFileSync(join(path, 'heads.jsonl'), `junk\n${'x'.repeat(1_000_000)}\n`)
    expect(await verifyLedger(dir)).toMatchObject({ ok: false, signatures: { invalidCount: 3 } })
  })

  it('counts records that no signature covers', async () => {
    const { path } = await write(3)
    rmSync(join(path, 'heads.jsonl'))
    const report = await verifyLedger(dir)
    expect(report).toMatchObject({
      ok: true,
      signatures: { validCount: 0, unsignedRecordCount: 4 },
    })
  })

  it('does not follow names that are none of ours', async () => {
    await write(1)
    mkdirSync(join(dir, 'n1', '..evil'))
    writeFileSync(join(dir, 'n1', '..evil', '000000.ledger'), 'junk')
    writeFileSync(join(dir, 'stray'), 'junk')
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, writerCount: 1 })
  })
})

describe('a torn last record', () => {
  const tears: { name: string; tear(bytes: Buffer): Buffer }[] = [
    { name: 'inside the header', tear: bytes => bytes.subarray(0, 40) },
    { name: 'inside the payload', tear: bytes => bytes.subarray(0, bytes.length - 5) },
    { name: 'before the last line break', tear: bytes => bytes.subarray(0, bytes.length - 1) },
    { name: 'as zeros', tear: bytes => Buffer.alloc(bytes.length) },
  ]
  for (const { name, tear } of tears) {
    it(`is reported, then cut off by the next writer, which says so: ${name}`, async () => {
      const { path, writer } = await write(3)
      const file = join(path, '000000.ledger')
      const records = recordsOf(file)
      rmSync(join(path, 'heads.jsonl'))
      const torn = tear(records.at(-1) as Buffer)
      writeFileSync(file, Buffer.concat([...records.slice(0, -1), torn]))
      const before = await verifyLedger(dir)
      expect(before).toMatchObject({ ok: true, tornTails: [{ writer, byteCount: torn.length }] })
      const next = await open()
      expect(next.recovered).toEqual([expect.objectContaining({ writer, byteCount: torn.length })])
      await next.close()
      expect(await verifyLedger(dir)).toMatchObject({ ok: true, tornTails: [], recordCount: 4 })
    })
  }

  it('leaves damage that no crash explains alone, for verify to show', async () => {
    const { path } = await write(3)
    rmSync(join(path, 'heads.jsonl'))
    edit(join(path, '000000.ledger'), '"seq":2', '"seq":9')
    const size = statSync(join(path, '000000.ledger')).size
    const next = await open()
    expect(next.recovered).toEqual([])
    await next.close()
    expect(statSync(join(path, '000000.ledger')).size).toBe(size)
    expect((await verifyLedger(dir)).firstAltered).toMatchObject({ seq: 2 })
  })
})

describe('erasing', () => {
  it('takes the words away and leaves the chain whole', async () => {
    const { written, path } = await write(5)
    const target = (written[2] as WrittenRecord).position
    const writer = await open()
    const erasure = { target, trace: 'dec_1', identityHash: null }
    await eraseRecord(dir, writer, erasure)
    await writer.close()
    expect(readFileSync(join(path, '000000.ledger'), 'utf8')).not.toContain('hello 2')
    expect((await readRecord(dir, target)).payload).toBeNull()
    expect(await verifyLedger(dir)).toMatchObject({ ok: true, erasedCount: 1, recordCount: 8 })
  })

  it('refuses to overwrite another record than the one named', async () => {
    const { written } = await write(2)
    const target = { ...(written[1] as WrittenRecord).position, hash: '0'.repeat(64) }
    const writer = await open()
    const erasure = { target, trace: null, identityHash: null }
    await expect(eraseRecord(dir, writer, erasure)).rejects.toMatchObject({
      code: 'ledger-corrupt',
    })
    await writer.close()
  })
})

describe('reading one record', () => {
  it('answers wrong positions and altered records with an error that says so', async () => {
    const { written, path, writer } = await write(3)
    const { position } = written[1] as WrittenRecord
    const read = (change: object) => readRecord(dir, { ...position, ...change })
    await expect(read({ writer: '../../etc' })).rejects.toMatchObject({ code: 'not-found' })
    await expect(read({ segment: 9 })).rejects.toMatchObject({ code: 'not-found' })
    await expect(read({ offset: 10_000_000 })).rejects.toMatchObject({ code: 'not-found' })
    await expect(read({ offset: position.offset + 3 })).rejects.toMatchObject({
      code: 'ledger-corrupt',
    })
    edit(join(path, '000000.ledger'), 'hello 1', 'HELLO 1')
    await expect(read({ writer })).rejects.toMatchObject({ code: 'ledger-corrupt' })
  })
})
