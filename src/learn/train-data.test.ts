import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TrainTask } from '../train/index.ts'
import type { ColumnNames } from './columns.ts'
import { readTrainData } from './train-data.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'train-data-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function read(
  name: string,
  content: string | Uint8Array,
  { task = 'label', columns = {} }: { task?: TrainTask; columns?: ColumnNames } = {},
) {
  const path = join(folder, name)
  await writeFile(path, content)
  return readTrainData(path, task, columns)
}

describe('readTrainData', () => {
  it.each([
    ['rows.csv', 'text,category\nhello,a\n"x, y",b\n'],
    ['rows.csv', '\ufeffUtterance;Intent\r\nhello;a\r\n"x, y";b\r\n'],
    ['rows.tsv', 'text\tlabel\nhello\ta\n"x, y"\tb\n'],
    ['rows.jsonl', '{"sentence":"hello","label":"a"}\n{"sentence":"x, y","label":"b"}\n'],
    ['rows.json', '[{"text":"hello","label":"a"},{"text":"x, y","label":"b"}]'],
  ])('finds text and label in %s: %j', async (name, content) => {
    const { rows, notices } = await read(name, content)
    expect(rows).toEqual([
      { text: 'hello', label: 'a' },
      { text: 'x, y', label: 'b' },
    ])
    expect(notices).toEqual([])
  })

  it('takes the columns that it is told', async () => {
    const { rows } = await read('told.csv', 'id,a,b\n1,one,x\n2,two,y\n', {
      columns: { text: 'a', label: 'b' },
    })
    expect(rows[1]).toEqual({ text: 'two', label: 'y' })
  })

  it('reads several labels from lists and from cells', async () => {
    const list = '{"text":"t","labels":["a","b"]}\n{"text":"u","labels":[]}\n'
    expect((await read('m.jsonl', list, { task: 'labels' })).rows[0]?.labels).toEqual(['a', 'b'])
    const cells = 'text,labels\nt,a | b;c\nu,\n'
    const { rows } = await read('m.csv', cells, { task: 'labels' })
    expect(rows.map(row => row.labels)).toEqual([['a', 'b', 'c'], []])
  })

  it('reads pairs, spans and the probabilities of a teacher', async () => {
    const pairs = 'premise,hypothesis,label\nit rains,it is wet,yes\n'
    expect((await read('p.csv', pairs, { task: 'pair' })).rows).toEqual([
      { text: 'it rains', pair: 'it is wet', label: 'yes' },
    ])
    const spans = '{"text":"to Rome","spans":[{"start":3,"end":7,"label":"city"}]}\n'
    expect((await read('s.jsonl', spans, { task: 'spans' })).rows[0]?.spans).toEqual([
      { start: 3, end: 7, label: 'city' },
    ])
    const taught = '{"text":"t","probabilities":{"a":0.7,"b":0.3}}\n'
    expect((await read('t.jsonl', taught)).rows[0]?.probabilities).toEqual({ a: 0.7, b: 0.3 })
  })

  it('reads of each record what it says, whatever the first one said', async () => {
    const [sure, taught] = ['{"text":"t","label":"a"}', '{"text":"u","probabilities":{"a":1}}']
    const rows = [
      { text: 't', label: 'a' },
      { text: 'u', probabilities: { a: 1 } },
    ]
    expect((await read('1.jsonl', `${sure}\n${taught}\n`)).rows).toEqual(rows)
    expect((await read('2.jsonl', `${taught}\n${sure}\n`)).rows).toEqual(rows.reverse())
  })

  it('says so where a packed file was cut off', async () => {
    const rows = Array.from({ length: 2000 }, (_, i) => `row ${i * 7919},${i % 2}\n`).join('')
    const packed = gzipSync(`text,label\n${rows}`)
    await expect(read('cut.csv.gz', packed.subarray(0, packed.length / 2))).rejects.toMatchObject({
      code: 'file-unreadable',
      message: expect.stringContaining('cut off'),
      help: 'Copy or download the file again.',
    })
  })

  it.each(['\n', '\r\n'])('tells in plain words of a quote left open: %j', async end => {
    const lines = Array.from({ length: 30 }, (_, i) => `row ${i},a`)
    lines[9] = '"left open,a'
    lines[16] = '"Hello, you",b'
    lines[20] = 'one,two,three'
    const { rows, notices } = await read('open.csv', ['text,label', ...lines].join(end))
    expect(rows).toHaveLength(30 - 8 - 1)
    expect(notices).toEqual([
      expect.stringMatching(
        /^2 places in .* were left out: the first is line \d+: .* a quote that opens behind line 10 is not closed as it should be, and what stands from there on is lost\.$/,
      ),
    ])
    const { notices: one } = await read('one.csv', ['text,label', 'a,x', 'one,two,x', ''].join(end))
    expect(one[0]).toMatch(/^1 place in .* was left out: line 3: .*another number of cells/)
    const never = ['text,label', 'a,x', '"left open,x', 'b,x', ''].join(end)
    expect((await read('never.csv', never)).notices[0]).toContain('behind line 2 is not closed')
  })

  it('says of a file that is not text that it is none', async () => {
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 7919) % 256)
    await expect(read('bin.csv', bytes)).rejects.toMatchObject({
      message: expect.stringMatching(/bin\.csv cannot be read: it is not text\.$/),
      help: expect.stringContaining('CSV'),
    })
  })

  it('says what it left out', async () => {
    const { rows, notices } = await read('some.jsonl', '{"text":"a","label":"x"}\nnot json\n3\n')
    expect(rows).toHaveLength(1)
    expect(notices).toEqual([expect.stringContaining('2 places')])
    expect(notices[0]).toContain('line 2')
  })

  it.each<[string, string | Uint8Array, TrainTask, string]>([
    ['empty.csv', '', 'label', 'it is empty'],
    ['empty.jsonl', '\n\n', 'label', 'it is empty'],
    ['header.csv', 'text,label\n', 'label', 'it has no rows'],
    [
      'columns.csv',
      'name,size\nx,1\n',
      'label',
      'no text and no label; its columns are "name", "size"',
    ],
    ['prose.jsonl', 'hello\nworld\n', 'label', 'line 1: not valid JSON'],
    ['list.jsonl', '{"text":["a"],"label":"x"}\n', 'label', 'its text is not a text'],
    [
      'none.jsonl',
      '{"text":"a","label":"x"}\n{"text":"b"}\n',
      'label',
      'line 2: its label is missing',
    ],
    ['blank.csv', 'text,label\na,x\nb,\n', 'label', 'line 3: its label is empty.'],
    [
      'blanks.csv',
      'text,label\na,x\nb,\nc,y\nd, \ne,\n',
      'label',
      'line 3: its label is empty, and so are those of 2 more rows',
    ],
    ['odds.jsonl', '{"text":"a","probabilities":{"x":2}}\n', 'label', 'probabilities'],
    ['zero.jsonl', '{"text":"a","probabilities":{"x":0}}\n', 'label', 'probabilities'],
    [
      'out.jsonl',
      '{"text":"ab","spans":[{"start":1,"end":9,"label":"x"}]}\n',
      'spans',
      'from 1 to 9',
    ],
    [
      'back.jsonl',
      '{"text":"ab","spans":[{"start":1,"end":1,"label":"x"}]}\n',
      'spans',
      'from 1 to 1',
    ],
    ['nospans.jsonl', '{"text":"ab","label":"x"}\n', 'spans', 'no spans'],
    [
      'latin.csv',
      Buffer.from('text,label\nsch\xf6n,a\ngr\xfcn,b\n', 'latin1'),
      'label',
      'not valid UTF-8',
    ],
  ])('refuses %s', async (name, content, task, message) => {
    await expect(read(name, content, { task })).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining(message),
      help: expect.stringMatching(/^[A-Z].*\.$/),
    })
  })

  it.each([
    'text,label, label\na,x,y\n',
    'text;label;other;label\na;x;y;z\n',
  ])('refuses two columns of one name: %j', async content => {
    await expect(read('twice.csv', content)).rejects.toMatchObject({
      code: 'file-unreadable',
      message: expect.stringContaining('two of its columns are named "label"'),
      help: 'Rename or remove one of them.',
    })
  })

  it('reads past columns without a name', async () => {
    expect((await read('bare.csv', 'text,label,,\na,x,,\n')).rows).toHaveLength(1)
  })

  it('reads a tab as what parts columns by the name of the file, whatever else the header has', async () => {
    const content = 'text, as said\tlabel\nhello\ta\n'
    const columns = { text: 'text, as said' }
    expect((await read('said.tsv', content, { columns })).rows[0]?.label).toBe('a')
  })

  it('refuses a column of second texts where none is read', async () => {
    const content = 'text,b,label\nhello,x,a\n'
    await expect(read('b.csv', content, { columns: { pair: 'b' } })).rejects.toMatchObject({
      code: 'usage-invalid',
      help: expect.stringContaining('--task-kind pair'),
    })
  })

  it('refuses one column for two things', async () => {
    const columns = { text: 'label', label: 'label' }
    await expect(read('same.csv', 'text,label\na,x\n', { columns })).rejects.toMatchObject({
      code: 'usage-invalid',
      message: '--text-column and --label-column name the same column.',
    })
  })

  it('tells of a second text that the task kind leaves unread', async () => {
    const pairs = 'premise,hypothesis,label\nit rains,it is wet,yes\n'
    const { notices } = await read('unread.csv', pairs)
    expect(notices).toEqual([expect.stringMatching(/"hypothesis" was not read.*--task-kind pair/)])
    expect((await read('read.csv', pairs, { task: 'pair' })).notices).toEqual([])
    expect((await read('answer.csv', 'question,answer\nwhy,so\n')).notices).toEqual([])
  })

  it('tells of a column of several labels that is read as one', async () => {
    const rows = 'text,labels\na,x|y\nb,z\n'
    expect((await read('several.csv', rows)).notices).toEqual([
      expect.stringMatching(/"x\|y" was read as one label.*--task-kind labels/),
    ])
    expect((await read('several.csv', rows, { task: 'labels' })).notices).toEqual([])
    expect((await read('one.csv', rows.replace('labels', 'label'))).notices).toEqual([])
  })

  it('refuses a file that is not there', async () => {
    await expect(readTrainData(join(folder, 'none'), 'label', {})).rejects.toMatchObject({
      code: 'file-unreadable',
    })
  })
})
