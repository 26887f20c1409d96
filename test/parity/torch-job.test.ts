/** A job folder against PyTorch: what its script computes, beside the same rows in training here. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toyFiles } from '../../src/models/__fixtures__/toy-bert.ts'
import { readEncoderFiles } from '../../src/models/index.ts'
import { openInProcessRuntime } from '../../src/runtimes/index.ts'
import { readTorchTraining, writeTorchTraining } from '../../src/train/index.ts'
import { toyRows } from '../../src/train/model/__fixtures__/toy-rows.ts'
import { type EncodedRows, trainingRows } from '../../src/train/model/encode-rows.ts'

const python = process.env.UNDERSTUDY_PYTHON
const reason = python === undefined ? ' (skipped: UNDERSTUDY_PYTHON names no Python with peft)' : ''
/** Both sides compute in 32-bit floats, in another order; logits are of the order of 10. */
const TOLERANCE = 1e-4
/** Of the training rows, that one update learns from. */
const UPDATE_ROWS = 9

/** A tokenizer that closes both texts of a pair, and marks the second one by token type 1, as BERT's does. */
function pairTokenizer(): string {
  const tokenizer = JSON.parse(toyFiles().tokenizer)
  const special = (id: string, type: number) => ({ SpecialToken: { id, type_id: type } })
  const text = (id: string, type: number) => ({ Sequence: { id, type_id: type } })
  const first = [special('[CLS]', 0), text('A', 0), special('[SEP]', 0)]
  tokenizer.post_processor.pair = [...first, text('B', 1), special('[SEP]', 1)]
  return JSON.stringify(tokenizer)
}

describe.skipIf(reason !== '')(`a job on PyTorch${reason}`, () => {
  let scratch = ''
  let job = ''
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'understudy-torch-parity-'))
    const folder = join(scratch, 'base')
    const { weights, config } = toyFiles()
    const base = {
      'model.safetensors': weights,
      'config.json': config,
      'tokenizer.json': pairTokenizer(),
      '1_Pooling/config.json': '{"pooling_mode": "cls"}',
    }
    for (const [path, bytes] of Object.entries(base)) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), bytes)
    }
    job = join(scratch, 'job')
    await writeTorchTraining({
      task: 'pair',
      // Three of four rows are of one label.
      rows: toyRows('pair', 80).filter(({ label }, i) => label === 'hello' || i % 3 === 0),
      base: { name: 'toy', folder, files: await readEncoderFiles(folder) },
      method: 'lora',
      record: null,
      fixed: { classWeights: 'balanced', labelSmoothing: 0.2, dropout: 0, maxGradientNorm: 1e9 },
      seed: 0,
      output: job,
    })
  })
  afterAll(() => rm(scratch, { recursive: true }))

  const run = async (args: readonly string[]) => {
    const { stdout } = await promisify(execFile)(python ?? '', args, { cwd: job })
    return stdout.trim().split('\n').at(-1) ?? ''
  }

  it('weighs rows and divides by their number as training here does', async () => {
    const script = join(import.meta.dirname, 'check-torch-job.py')
    const theirs = JSON.parse(await run([script, job, String(UPDATE_ROWS)]))
    expect(theirs.types).toEqual([0])
    const rows = await trainingLabels(job)
    const { weights, targets } = trainingRows(
      encodedOf(rows),
      { labelSmoothing: 0.2, temperature: 1, classWeights: 'balanced' },
      [...rows.keys()],
    )
    const logits = theirs.logits as number[][]
    expect(new Set(weights.subarray(0, logits.length)).size).toBe(2)
    let loss = 0
    const gradient = [0, 0]
    logits.forEach((own, row) => {
      const total = own.reduce((sum, value) => sum + Math.exp(value), 0)
      own.forEach((value, k) => {
        const wanted = targets[2 * row + k] as number
        const share = (weights[row] as number) / logits.length
        loss -= share * wanted * (value - Math.log(total))
        gradient[k] = (gradient[k] as number) + share * (Math.exp(value) / total - wanted)
      })
    })
    expect(Math.abs(theirs.loss - loss)).toBeLessThan(TOLERANCE)
    theirs.biasGradient.forEach((value: number, k: number) => {
      expect(Math.abs(value - (gradient[k] as number))).toBeLessThan(TOLERANCE)
    })
  }, 120_000)

  it('leaves a model of pairs that answers the same here', async () => {
    await run(['train.py', '--threads', '1', '--precision', 'float32'])
    const runtime = await openInProcessRuntime({ threads: 1 })
    try {
      const { signal } = new AbortController()
      const { parts, notices } = await readTorchTraining(job, { runtime, threads: 1, signal })
      expect([parts.task, parts.config.pooling]).toEqual(['pair', 'cls'])
      const [, difference] = /by (\S+) at most/.exec(notices.join()) ?? []
      expect(Number(difference)).toBeLessThan(TOLERANCE)
    } finally {
      await runtime.close()
    }
  }, 120_000)
})

async function trainingLabels(job: string): Promise<number[]> {
  const lines = (await readFile(join(job, 'data.jsonl'), 'utf8')).trim().split('\n')
  const rows = lines.map(line => JSON.parse(line))
  return rows.flatMap(({ split, labels }) => (split === 'training' ? labels : []))
}

function encodedOf(labels: readonly number[]): EncodedRows {
  return {
    task: 'pair',
    kind: 'single-label',
    sequences: labels.map(() => []),
    labels: ['hello', 'world'],
    outputs: ['hello', 'world'],
    targets: Float32Array.from(labels.flatMap(label => [1 - label, label])),
    weights: new Float32Array(labels.length).fill(1),
    isSoft: new Uint8Array(labels.length),
    words: [],
    wordOf: [],
    rows: [],
    nameCount: 0,
  }
}
