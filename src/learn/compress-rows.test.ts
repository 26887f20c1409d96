import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readRows } from './compress-rows.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'compress-rows-'))
})
afterAll(() => rm(folder, { recursive: true }))

it.each([
  ['rows.csv', 'text,category\nhello,a\nthere, b \n'],
  ['rows.tsv', 'Utterance\tIntent\nhello\ta\nthere\tb\n'],
  ['rows.jsonl', '{"about":1}\n{"text":"hello","label":"a"}\n{"text":"there","label":"b"}\n'],
])('finds the columns of %s as train does', async (name, content) => {
  await writeFile(join(folder, name), content)
  expect((await readRows(join(folder, name))).rows).toEqual([
    { text: 'hello', label: 'a' },
    { text: 'there', label: 'b' },
  ])
})

it('counts what has no text or no label', async () => {
  const path = join(folder, 'broken.jsonl')
  const rows = [
    '{"text":"hello","label":3}',
    '{"text":" ","label":"a"}',
    '{"text":"x"}',
    'no',
    '[]',
  ]
  await writeFile(path, rows.join('\n'))
  expect(await readRows(path)).toEqual({ rows: [{ text: 'hello', label: '3' }], brokenCount: 4 })
})

it('refuses another encoding than UTF-8, as train does', async () => {
  const path = join(folder, 'latin.csv')
  await writeFile(path, Buffer.from('text,label\nsch\xf6n,a\ngr\xfcn,b\n', 'latin1'))
  await expect(readRows(path)).rejects.toMatchObject({
    code: 'request-invalid',
    message: expect.stringContaining('not valid UTF-8'),
  })
})

it.each([
  ['none.csv', 'text,label\n', 'it has no rows'],
  ['others.csv', 'name,size\nx,1\n', 'it has no text and no label; its columns are "name", "size"'],
  ['numbers.json', '[1,2]', 'line 1: not an object'],
  ['blank.csv', 'text,label\n,\n', 'has no record with a text and a label'],
])('says why %s gives no row', async (name, content, message) => {
  const path = join(folder, name)
  await writeFile(path, content)
  await expect(readRows(path)).rejects.toMatchObject({
    code: 'request-invalid',
    message: expect.stringContaining(message),
    help: expect.not.stringContaining('--'),
  })
})
