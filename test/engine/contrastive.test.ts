/** The gradient of few-shot fitting through a whole toy encoder, against differences in double precision. */
import { describe, expect, it } from 'vitest'
import { grad, type Input } from '../../src/engine/index.ts'
import { evaluate } from '../../src/engine/reference.ts'
import type { NumericTensor } from '../../src/engine/reference-tensor.ts'
import { readSafetensors } from '../../src/formats/index.ts'
import { toyFiles } from '../../src/models/__fixtures__/toy-bert.ts'
import { padBatch, parseEncoderConfig, readEncoderWeights } from '../../src/models/index.ts'
import { BATCH, classifierGraph } from '../../src/train/fine-tune/classifier-graph.ts'
import { completeRecipe } from '../../src/train/fine-tune/recipe.ts'
import { trainableEncoder } from '../../src/train/fine-tune/trainable-encoder.ts'
import { createRng } from '../../src/util/index.ts'
import { expectClose } from './closeness.ts'
import { centralDifferences } from './differences.ts'

const files = toyFiles()
const config = parseEncoderConfig(files)
const weights = readEncoderWeights(readSafetensors(files.weights), config)
const rng = createRng('contrastive gradient')
const recipe = completeRecipe({ method: 'contrastive', layerCount: 1 })
const classCount = 3
const graph = classifierGraph({
  config,
  encoder: trainableEncoder({ config, weights, recipe, rng }),
  classCount,
  scale: 4,
  head: {
    weights: Float32Array.from({ length: config.hiddenSize * classCount }, () => rng.normal() / 4),
    bias: Float32Array.of(0.1, -0.2, 0),
  },
  isPrefixCached: false,
  contrast: { share: 0.6, temperature: 0.2 },
})

const SEQUENCES = [
  [2, 5, 3],
  [2, 5, 6, 3],
  [2, 7, 8, 9, 3],
  [2, 8, 3],
  [2, 10, 11, 3],
]
const CLASSES = [0, 0, 1, 1, 2]

function feeds(): Map<Input, NumericTensor> {
  const { ids, mask } = padBatch(SEQUENCES, 0)
  const size = SEQUENCES.length
  const square = Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0))
  const fed: Record<string, NumericTensor> = {
    [BATCH.ids]: { dims: ids.dims, data: Float64Array.from(ids.data as BigInt64Array, Number) },
    [BATCH.mask]: { dims: mask.dims, data: Float64Array.from(mask.data as BigInt64Array, Number) },
    [BATCH.targets]: {
      dims: [size, classCount],
      data: CLASSES.flatMap(label => [0, 1, 2].map(k => (k === label ? 1 : 0))),
    },
    [BATCH.weights]: { dims: [size], data: CLASSES.map(() => 1 / size) },
    [BATCH.self]: { dims: [size, size], data: square },
  } as never
  for (const { input, initial } of graph.specs) {
    fed[input.name] = { dims: input.shape as number[], data: Float64Array.from(initial) }
  }
  return new Map([...graph.data, ...graph.parameters].map(one => [one, fed[one.name]])) as never
}

describe('the contrastive gradient', () => {
  const all = feeds()
  const found = evaluate(grad(graph.loss, graph.parameters), all)

  it.each([
    'encoder.layer.1.attention.self.query.weight',
    'encoder.layer.1.attention.self.value.bias',
    'encoder.layer.1.output.dense.weight',
    'encoder.layer.1.output.LayerNorm.weight',
    'classifier.weight',
  ])('has the slope that differences show: %s', name => {
    const i = graph.parameters.findIndex(one => one.name === name)
    const slope = centralDifferences(graph.loss, graph.parameters[i] as Input, all)
    expect(Math.max(...slope.map(Math.abs))).toBeGreaterThan(1e-3)
    expectClose(found[i]?.data ?? [], slope, 1e-7)
  })
})
