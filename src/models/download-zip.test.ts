import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeZip } from './__fixtures__/make-zip.ts'
import { openZip } from './download-zip.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-zip-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function readMember(bytes: Uint8Array, name: string): Promise<string> {
  const path = join(folder, 'file.zip')
  await writeFile(path, bytes)
  const zip = await openZip(path)
  try {
    const chunks: Uint8Array[] = []
    const member = zip.members.get(name)
    if (member === undefined) return 'no such member'
    for await (const chunk of await member.open()) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  } finally {
    await zip.close()
  }
}

const big = Buffer.alloc(700_000, 'abc')
const good = makeZip([
  { name: 'a/stored.txt', data: Buffer.from('stored'), method: 'stored' },
  { name: 'a/ünicode.txt', data: big },
  { name: 'empty', data: Buffer.alloc(0) },
])

it('reads stored, deflated and empty members', async () => {
  expect(await readMember(good, 'a/stored.txt')).toBe('stored')
  expect(await readMember(good, 'a/ünicode.txt')).toBe(big.toString())
  expect(await readMember(good, 'empty')).toBe('')
  expect(await readMember(good, 'b')).toBe('no such member')
})

it('reads a file with a comment behind its directory', async () => {
  expect(await readMember(Buffer.concat([good, Buffer.from('comment')]), 'a/stored.txt')).toBe(
    'stored',
  )
})

const data = Buffer.from('data')
it.each([
  ['is empty', Buffer.alloc(0), /not a zip/],
  ['is something else', Buffer.from('<html>not found</html>'), /not a zip/],
  ['is cut in its directory', good.subarray(0, good.length - 30), /not a zip/],
  ['lost its beginning', good.subarray(40), /directory|not where/],
  ['uses an unknown method', makeZip([{ name: 'x', data, claimedMethod: 99 }]), /method 99/],
  ['points into nowhere', makeZip([{ name: 'x', data, claimedOffset: 1_000_000 }]), /not where/],
  ['points at something else', makeZip([{ name: 'x', data, claimedOffset: 5 }]), /not where/],
  [
    'calls text deflated',
    makeZip([{ name: 'x', data: Buffer.alloc(9, 'z'), method: 'stored', claimedMethod: 8 }]),
    /invalid|unexpected end/,
  ],
])('refuses a file that %s', async (_what, bytes, message) => {
  await expect(
    readMember(bytes, 'x').then(text => {
      throw new Error(`read ${text}`)
    }),
  ).rejects.toThrow(message)
})

it('does not crash when any byte of the directory is changed', async () => {
  const small = makeZip([{ name: 'x', data }])
  for (let at = small.length - 22 - 47; at < small.length; at++) {
    const bad = Buffer.from(small)
    bad[at] = (bad[at] as number) ^ 0xff
    await readMember(bad, 'x').catch(error => expect(error).toBeInstanceOf(Error))
  }
})
