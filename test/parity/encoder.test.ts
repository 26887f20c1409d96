/** Our graph against sentence-transformers; `make-goldens.py` beside this file made what it is compared with. */
import { readFileSync } from 'node:fs'
import { afterAll, expect, it } from 'vitest'
import { createEncoder, listModels } from '../../src/models/index.ts'
import { openRuntimePool } from '../../src/runtimes/index.ts'

const golden = JSON.parse(
  readFileSync(new URL('./goldens/all-minilm-l6-v2.json', import.meta.url), 'utf8'),
) as { texts: string[]; embeddings: string; maxTokens: number }
/** sentence-transformers computes in 32-bit floats too; sums in another order differ in the last bits only. */
const TOLERANCE = 1e-4

const model = (await listModels()).find(({ entry }) => entry.name === 'all-minilm-l6-v2')
const reason =
  model?.state === 'present' ? '' : ' (skipped: understudy models pull all-minilm-l6-v2)'
const runtime = openRuntimePool()
afterAll(() => runtime.close())

it.skipIf(reason !== '')(
  `embeds ${golden.texts.length} texts as sentence-transformers does, to 1e-4${reason}`,
  async () => {
    const encoder = await createEncoder({
      name: 'all-minilm-l6-v2',
      source: model?.dir ?? '',
      runtime,
    })
    const bytes = Buffer.from(golden.embeddings, 'base64')
    const wanted = new Float32Array(
      bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
    )
    const got = await encoder.embed(golden.texts)
    expect(got.length).toBe(wanted.length)
    const worst = golden.texts.map((text, row) => {
      let largest = 0
      for (let i = row * encoder.dimension; i < (row + 1) * encoder.dimension; i++) {
        largest = Math.max(largest, Math.abs((got[i] as number) - (wanted[i] as number)))
      }
      return { text: text.slice(0, 60), largest }
    })
    expect(worst.filter(({ largest }) => !(largest <= TOLERANCE))).toEqual([])
  },
  60_000,
)
