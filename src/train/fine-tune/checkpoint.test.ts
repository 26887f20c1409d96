import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { safetensorsParts } from '../../formats/index.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-checkpoint-'))
})
afterAll(() => rm(folder, { recursive: true }))

const checkpoint: Checkpoint = {
  runId: 'run',
  state: {
    step: 7,
    buffers: {
      weights: Float32Array.of(1, -2, 3.5).subarray(1),
      none: new Float32Array(0),
      m: Float32Array.from({ length: 1000 }, (_, i) => i / 3),
    },
  },
  progress: { lossSums: [0.5] },
}

async function written(name: string, change: (bytes: Buffer) => Uint8Array = bytes => bytes) {
  const path = join(folder, name)
  await writeCheckpoint(path, checkpoint)
  await writeFile(path, change(await readFile(path)))
  return path
}

describe('a checkpoint', () => {
  it.each([
    1,
    5,
    1024,
    undefined,
  ])('is read in chunks of %s bytes as it was written', async chunkBytes => {
    const path = await written('whole')
    expect(await readCheckpoint(path, 'run', { chunkBytes })).toEqual(checkpoint)
    expect((await readdir(folder)).filter(name => name.endsWith('.tmp'))).toEqual([])
  })

  it('is read tensor by tensor, each into an array of its own', async () => {
    const read = await readCheckpoint(await written('own'), 'run')
    const { weights, m } = read?.state.buffers ?? {}
    expect([weights?.buffer.byteLength, m?.buffer.byteLength]).toEqual([8, 4000])
  })

  it('may be larger than any array: one of another run is told by its head', async () => {
    const path = join(folder, 'large')
    const large = { type: 'U8', shape: [3 * 2 ** 30], bytes: { byteLength: 3 * 2 ** 30 } }
    const tensors = new Map([1, 2].map(i => [`t${i}`, large as never]))
    const [head] = safetensorsParts(tensors, { runId: 'other' })
    await writeFile(path, head as Uint8Array)
    const file = await open(path, 'r+')
    // A hole: nothing is stored.
    await file.truncate((head as Uint8Array).byteLength + 6 * 2 ** 30)
    await file.close()
    expect(await readCheckpoint(path, 'run')).toBeNull()
    await rm(path)
  })

  it('that is not there, or of another run, is none', async () => {
    expect(await readCheckpoint(join(folder, 'nothing'), 'run')).toBeNull()
    expect(await readCheckpoint(await written('other'), 'another')).toBeNull()
  })

  it.each<[string, (bytes: Buffer) => Uint8Array, RegExp]>([
    ['is empty', () => new Uint8Array(0), /0 bytes, fewer than 8/],
    ['ends inside its head', bytes => bytes.subarray(0, 20), /header claims/],
    ['ends inside a tensor', bytes => bytes.subarray(0, -1), /claims bytes/],
    ['has bytes too many', bytes => Buffer.concat([bytes, bytes]), /belong to no tensor/],
    ['has a broken head', bytes => bytes.fill(0x78, 8, 20), /header is not JSON/],
    [
      'has no step',
      bytes => Buffer.from(bytes.toString('latin1').replace('"7"', '"x"'), 'latin1'),
      /its step is x/,
    ],
    [
      'has other numbers',
      bytes => Buffer.from(bytes.toString('latin1').replaceAll('"F32"', '"I32"'), 'latin1'),
      /weights is I32/,
    ],
  ])('that %s is refused', async (_what, change, message) => {
    const path = await written('damaged', change)
    await expect(readCheckpoint(path, 'run')).rejects.toMatchObject({
      code: 'model-corrupt',
      message: expect.stringMatching(message),
      help: expect.stringContaining('Delete it'),
    })
  })

  it('that cannot be written says what to do', async () => {
    const path = join(folder, 'taken')
    await mkdir(path)
    await expect(writeCheckpoint(path, checkpoint)).rejects.toMatchObject({
      code: 'file-unreadable',
      message: expect.stringContaining('cannot be written: EISDIR'),
      help: expect.stringContaining('free space'),
    })
  })

  it('that the system does not give is no damaged one', async () => {
    const path = join(folder, 'folder')
    await mkdir(path)
    await expect(readCheckpoint(path, 'run')).rejects.toMatchObject({
      code: 'file-unreadable',
      help: expect.stringContaining('Check the disk'),
    })
  })
})
