import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TracePayload } from '../ledger/index.ts'
import { type ImportOptions, type ImportTarget, importFiles } from './import.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-import-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

/** Keeps what it is given, as a workspace would. */
function memoryTarget(): ImportTarget & { traces: TracePayload[] } {
  const traces: TracePayload[] = []
  return {
    traces,
    store: {
      knownIdentities: async identities =>
        new Map(
          traces.filter(t => identities.includes(t.identity)).map(t => [t.identity, t.contentHash]),
        ),
    },
    appendAndProject: async entries => {
      for (const { payload } of entries) traces.push(payload as TracePayload)
      return []
    },
  }
}

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

function line(text: string, answer: string, extra: object = {}): string {
  return JSON.stringify({
    request: { model: 'm', messages: [{ role: 'user', content: text }] },
    response: { choices: [{ message: { role: 'assistant', content: answer } }] },
    ...extra,
  })
}

async function run(target: ImportTarget, paths: string[], options: Partial<ImportOptions> = {}) {
  const { signal } = new AbortController()
  return (await importFiles(target, paths, { signal, ...options })).files
}

describe('importFiles', () => {
  it('imports every line once, however often the file comes', async () => {
    const target = memoryTarget()
    const path = await file(
      'a.jsonl',
      `${line('x', '1')}\n${line('x', '1')}\r\n\n${line('y', '2', { id: 'b' })}`,
    )
    const [first] = await run(target, [path])
    expect(first).toMatchObject({
      format: 'native',
      lineCount: 3,
      importedCount: 3,
      duplicateCount: 0,
    })
    const [second] = await run(target, [path])
    expect(second).toMatchObject({
      importedCount: 0,
      duplicateCount: 3,
      conflictCount: 0,
      rejectedCount: 0,
    })
    expect(target.traces.map(t => t.identity)).toEqual([
      expect.stringMatching(/^sha256:[0-9a-f]{64}#0$/),
      expect.stringMatching(/^sha256:[0-9a-f]{64}#1$/),
      'b',
    ])
  })

  it('reports an id that comes back with other content and keeps the first', async () => {
    const target = memoryTarget()
    const path = await file(
      'a.jsonl',
      [line('x', '1', { id: 'k' }), line('x', '2', { id: 'k' })].join('\n'),
    )
    const [report] = await run(target, [path])
    expect(report).toMatchObject({
      importedCount: 1,
      conflictCount: 1,
      conflicts: [{ id: 'k', line: 2 }],
    })
    const other = await file('b.jsonl', line('x', '3', { id: 'k' }))
    expect((await run(target, [other]))[0]).toMatchObject({ conflictCount: 1, importedCount: 0 })
    expect(target.traces).toHaveLength(1)
  })

  it('counts a broken line, names its number and reason, and imports the rest', async () => {
    const target = memoryTarget()
    const lines = [
      line('x', '1'),
      '{"request": ',
      '[1]',
      line('y', '1', { status: 'no' }),
      line('z', '1'),
    ]
    const [report] = await run(target, [await file('a.jsonl', lines.join('\n'))])
    expect(report).toMatchObject({
      lineCount: 5,
      importedCount: 2,
      rejectedCount: 3,
      rejected: [
        { line: 2, reason: 'not valid JSON' },
        { line: 3, reason: 'the line is no JSON object' },
        { line: 4, reason: 'status must be a whole number from 100 to 599' },
      ],
    })
  })

  it('counts all broken lines and keeps the first twenty', async () => {
    const content = [line('x', '1'), ...Array.from({ length: 50 }, () => 'broken')].join('\n')
    const [report] = await run(memoryTarget(), [await file('a.jsonl', content)])
    expect(report?.rejectedCount).toBe(50)
    expect(report?.rejected).toHaveLength(20)
  })

  it('survives a byte-order mark, bytes that are no UTF-8, deep nesting and lines without end', async () => {
    const target = memoryTarget()
    const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
    const content = Buffer.concat([
      Buffer.from(`\ufeff${line('ü', '1')}\n`),
      Buffer.from([0xff, 0xfe, 0x00, 0x0a]),
      Buffer.from(`${line('x'.repeat(3000), '1')}\n${deep}\n${line('z', '1')}`),
    ])
    const [report] = await run(target, [await file('a.jsonl', content)], { maxLineBytes: 2000 })
    expect(report?.rejected.map(({ line: at, reason }) => `${at} ${reason}`)).toEqual([
      '2 not UTF-8 text',
      '3 longer than 2,000 bytes',
      '4 longer than 2,000 bytes',
    ])
    expect(
      target.traces.map(
        t => (t.request as { messages: { content: string }[] }).messages[0]?.content,
      ),
    ).toEqual(['ü', 'z'])
    const nested = await run(target, [await file('b.jsonl', `${line('q', '1')}\n${deep}`)])
    expect(nested[0]?.rejected).toEqual([{ line: 2, reason: 'not valid JSON' }])
  })

  it('reads JSON arrays, pretty or not, with the line where each element starts', async () => {
    const target = memoryTarget()
    const pretty = JSON.stringify(
      [JSON.parse(line('a ]}, "\\', '1')), 7, JSON.parse(line('b', '2'))],
      null,
      2,
    )
    const [report] = await run(target, [await file('a.json', pretty)])
    expect(report).toMatchObject({ lineCount: 3, importedCount: 2 })
    expect(report?.rejected[0]?.reason).toBe('the line is no JSON object')
    const [broken] = await run(target, [await file('b.json', `[${line('c', '1')}, {"request`)])
    expect(broken).toMatchObject({
      importedCount: 1,
      rejected: [{ line: 1, reason: 'the array breaks off here' }],
    })
  })

  it('reads gzip, and keeps what comes before damage', async () => {
    const target = memoryTarget()
    const many = Array.from({ length: 3000 }, (_, i) =>
      line(`text ${i} ${Math.sin(i)}`, String(i)),
    ).join('\n')
    const packed = gzipSync(many)
    const [whole] = await run(target, [await file('a.jsonl.gz', packed)])
    expect(whole).toMatchObject({ importedCount: 3000, rejectedCount: 0 })
    const cut = memoryTarget()
    const [half] = await run(cut, [await file('b.jsonl.gz', packed.subarray(0, packed.length / 2))])
    expect(half?.importedCount).toBeGreaterThan(0)
    expect(half?.importedCount).toBeLessThan(3000)
    expect(half?.rejected.at(-1)?.reason).toContain('gzip')
  })

  it('reads labelled CSV with quotes, line breaks and semicolons, for a declared task', async () => {
    const target = memoryTarget()
    const csv =
      'Text,LABEL\r\n"My card, ""gold"",\nis lost",lost_card\nhello,\n,greeting\nhi,greeting\n'
    const [report] = await run(target, [await file('a.csv', csv)], { task: 'triage' })
    expect(report).toMatchObject({
      format: 'labelled',
      lineCount: 4,
      importedCount: 2,
      rejectedCount: 2,
    })
    expect(target.traces[0]).toMatchObject({
      declaredTask: 'triage',
      request: { messages: [{ role: 'user', content: 'My card, "gold",\nis lost' }] },
    })
    const semicolons = await file('b.csv', 'label;text\nx;"one, two; three"\n')
    expect((await run(target, [semicolons], { task: 'triage' }))[0]).toMatchObject({
      importedCount: 1,
    })
  })

  it('keeps the good rows of a CSV with broken quotes', async () => {
    const target = memoryTarget()
    const csv = 'text,label\na,1\nb,2,3\nc"d,4\n"never closed,5\ne,6\n'
    const [report] = await run(target, [await file('a.csv', csv)], { task: 't' })
    expect(report?.importedCount).toBeGreaterThanOrEqual(1)
    expect(report?.rejectedCount).toBeGreaterThanOrEqual(2)
    expect(report?.rejected[0]).toMatchObject({ line: 3, reason: expect.stringContaining('CSV') })
  })

  it('asks for the task of labelled data', async () => {
    const path = await file('a.csv', 'text,label\na,b\n')
    await expect(run(memoryTarget(), [path])).rejects.toMatchObject({ code: 'usage-invalid' })
  })

  it('pairs the two files of a batch, whichever comes first', async () => {
    const body = (text: string) => ({ model: 'm', messages: [{ role: 'user', content: text }] })
    const input = (id: string) =>
      JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/chat/completions', body: body(id) })
    const output = (id: string) =>
      JSON.stringify({
        id: `batch_req_${id}`,
        custom_id: id,
        response: {
          status_code: 200,
          request_id: 'r',
          body: { choices: [{ message: { content: id } }] },
        },
        error: null,
      })
    const requests = await file('in.jsonl', ['ä', 'b', 'b', 'c'].map(input).join('\n'))
    const answers = await file('out.jsonl', ['c', 'ä', 'b', 'z'].map(output).join('\n'))
    const target = memoryTarget()
    const [first, second] = await run(target, [answers, requests])
    expect(first).toMatchObject({ importedCount: 2, rejectedCount: 2 })
    expect(first?.rejected.map(r => r.reason)).toEqual([
      expect.stringContaining("two requests are called 'b'"),
      expect.stringContaining("the request 'z' is in none of the files"),
    ])
    expect(second).toMatchObject({ requestCount: 4, importedCount: 0, rejectedCount: 0 })
    expect(target.traces.map(t => t.request)).toEqual([body('c'), body('ä')])
    await expect(run(target, [requests])).rejects.toThrow('requests without answers')
  })

  it('imports nothing when one of the files is missing or unknown', async () => {
    const target = memoryTarget()
    const good = await file('a.jsonl', line('x', '1'))
    await expect(run(target, [good, join(folder, 'none.jsonl')])).rejects.toMatchObject({
      code: 'file-unreadable',
    })
    const unknown = await file('b.jsonl', '{"prompt":"x","completion":"y"}\n')
    await expect(run(target, [good, unknown])).rejects.toThrow(
      'line 1 has the fields prompt, completion',
    )
    await expect(run(target, [good, folder])).rejects.toThrow('it is a folder')
    expect(target.traces).toEqual([])
  })

  it('takes an empty file as one without lines', async () => {
    const [report] = await run(memoryTarget(), [await file('a.jsonl', ' \n\n')])
    expect(report).toMatchObject({ format: null, lineCount: 0, importedCount: 0, rejectedCount: 0 })
  })

  it('gives lines without an app the one of the call', async () => {
    const target = memoryTarget()
    const path = await file('a.jsonl', [line('x', '1', { app: 'own' }), line('y', '1')].join('\n'))
    await run(target, [path], { app: 'desk' })
    expect(target.traces.map(t => t.app)).toEqual(['own', 'desk'])
    await expect(run(target, [path], { app: 'a\nb' })).rejects.toMatchObject({
      code: 'usage-invalid',
    })
  })

  it('stops between batches when cancelled, and goes on where it was the next time', async () => {
    const target = memoryTarget()
    const path = await file(
      'a.jsonl',
      Array.from({ length: 1200 }, (_, i) => line(`t${i}`, '1')).join('\n'),
    )
    const controller = new AbortController()
    const cancelling = importFiles(target, [path], {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    })
    await expect(cancelling).rejects.toMatchObject({ code: 'cancelled' })
    expect(target.traces).toHaveLength(500)
    expect((await run(target, [path]))[0]).toMatchObject({
      importedCount: 700,
      duplicateCount: 500,
    })
  })

  it('tells progress in bytes up to the end of all files', async () => {
    const events: { done: number; total: number }[] = []
    const paths = [await file('a.jsonl', line('x', '1')), await file('b.jsonl', line('y', '1'))]
    await run(memoryTarget(), paths, { onProgress: event => events.push(event) })
    expect(events.at(-1)?.done).toBe(events.at(-1)?.total)
    expect(events.map(e => e.done)).toEqual([...events.map(e => e.done)].sort((a, b) => a - b))
  })
})
