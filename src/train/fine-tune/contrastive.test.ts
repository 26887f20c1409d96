import { afterAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../formats/index.ts'
import { toyConfig, toyFiles } from '../../models/__fixtures__/toy-bert.ts'
import {
  type EncoderWeights,
  frozenModules,
  parseEncoderConfig,
  readEncoderWeights,
} from '../../models/index.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import { createRng } from '../../util/index.ts'
import { startPace } from '../pace.ts'
import { checkComparable } from './contrastive.ts'
import { embedRows } from './embed-rows.ts'
import { type FineTuneOptions, fineTune, type TrainingRows } from './fine-tune.ts'
import { completeRecipe, type Recipe } from './recipe.ts'
import { tunedWeights } from './tuned-weights.ts'

const runtime = await openInProcessRuntime({ threads: 1 })
afterAll(() => runtime.close())
const files = toyFiles()
const config = parseEncoderConfig(files)
const weights = readEncoderWeights(readSafetensors(files.weights), config)
const pace = startPace(60_000, new AbortController().signal)

/** Which of three tokens occurs, at random places among others. */
function rows(classes: readonly number[]): TrainingRows {
  const rng = createRng('rows')
  const sequences = classes.map(label => {
    const length = 3 + rng.int(5)
    const ids = Array.from({ length }, () => 8 + rng.int(toyConfig.vocab_size - 8))
    ids[1 + rng.int(length - 1)] = 5 + label
    return ids
  })
  const classCount = Math.max(...classes) + 1
  const targets = new Float32Array(classCount * classes.length)
  classes.forEach((label, row) => {
    targets[classCount * row + label] = 1
  })
  return { sequences, classCount, targets, weights: new Float32Array(classes.length).fill(1) }
}

const EVEN = Array.from({ length: 30 }, (_, row) => row % 3)

function options(
  recipe: Partial<Recipe> = {},
  more: Partial<FineTuneOptions> = {},
): FineTuneOptions {
  return {
    config,
    weights,
    rows: rows(EVEN),
    recipe: completeRecipe({
      method: 'contrastive',
      epochCount: 20,
      batchTokens: 80,
      learningRate: 5e-3,
      ...recipe,
    }),
    runtime,
    pace,
    ...more,
  }
}

function embed({ sequences }: TrainingRows, by: EncoderWeights): Promise<Float32Array> {
  const modules = frozenModules(config, by)
  return embedRows({ config, modules, sequences, prefix: null, runtime, pace })
}

/** Mean cosine of rows of one class less that of rows of different ones. */
async function separation(of: TrainingRows, tuned = weights): Promise<number> {
  const { hiddenSize } = config
  const all = await embed(of, tuned)
  const sums = [0, 0]
  const counts = [0, 0]
  EVEN.forEach((a, i) => {
    EVEN.slice(0, i).forEach((b, j) => {
      let cosine = 0
      for (let d = 0; d < hiddenSize; d++) {
        cosine += (all[i * hiddenSize + d] as number) * (all[j * hiddenSize + d] as number)
      }
      const kind = a === b ? 1 : 0
      sums[kind] = (sums[kind] as number) + cosine
      counts[kind] = (counts[kind] as number) + 1
    })
  })
  const [different, same] = sums.map((sum, kind) => sum / (counts[kind] as number))
  return (same as number) - (different as number)
}

describe('fineTune, contrastive', () => {
  it.each([0.5, 1])('draws classes together and apart, contrast %d', async contrastShare => {
    const before = await separation(rows(EVEN))
    const fitted = await fineTune(options({ contrastShare }))
    expect(await separation(rows(EVEN), tunedWeights(weights, fitted))).toBeGreaterThan(
      before + 0.3,
    )
  })

  it('repeats bit for bit by its seed', async () => {
    const [a, b] = [await fineTune(options({ seed: 3 })), await fineTune(options({ seed: 3 }))]
    expect(a.tensors).toEqual(b.tensors)
    expect(a.head).toEqual(b.head)
    const other = await fineTune(options({ seed: 4 }))
    expect(other.tensors).not.toEqual(a.tensors)
  })

  it('takes a class with one row, and rows that are equal', async () => {
    const lonely = rows([...EVEN.map(label => label % 2), 2])
    const { sequences } = lonely
    const equal = { ...lonely, sequences: sequences.map((one, row) => (row < 4 ? [5, 5, 5] : one)) }
    const { epochLosses, head } = await fineTune(options({ epochCount: 2 }, { rows: equal }))
    expect(epochLosses.every(Number.isFinite)).toBe(true)
    expect(head.weights.every(Number.isFinite)).toBe(true)
  })

  it.each<[string, TrainingRows]>([
    ['no two of them have the same label', rows([0, 1, 2])],
    ['several labels', { ...rows(EVEN), kind: 'multi-label' }],
  ])('refuses with a reason: %s', (reason, of) => {
    expect(() => checkComparable(of, config)).toThrow(reason)
  })
})
