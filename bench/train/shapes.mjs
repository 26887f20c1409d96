/**
 * One session of dynamic shape for all length buckets against one session of fixed shape for each: the gradients of one training
 * step of MiniLM, by turns on the same feeds.
 *
 *   npm run build && node bench/train/shapes.mjs --model FOLDER [--threads 2] [--rounds 7] [--rows 32] [--lengths 8,16,24,32]
 *     [--cases lora,full]
 *
 * Times are of the processor, all threads together, so that other work on the machine disturbs them little: the fastest and the
 * median of the rounds.
 */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { adamW, openTrainer } from '../../dist/engine/index.js'
import { readSafetensors } from '../../dist/formats/index.js'
import {
  parseEncoderConfig,
  readEncoderFiles,
  readEncoderWeights,
} from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'
import { classifierGraph } from '../../dist/train/fine-tune/classifier-graph.js'
import { trainableEncoder } from '../../dist/train/fine-tune/trainable-encoder.js'
import { createRng, quantile } from '../../dist/util/index.js'
import { withDimensions } from '../lib/onnx-dimensions.mjs'
import { ms, surroundings, surroundingsLine, table } from '../lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '7' },
    rows: { type: 'string', default: '32' },
    lengths: { type: 'string', default: '8,16,24,32' },
    cases: { type: 'string', default: 'lora,full' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const CLASSES = 77
const CASES = {
  lora: { name: 'LoRA, q and v of all layers', method: 'lora', layerCount: null },
  full: { name: 'full, all layers', method: 'full', layerCount: 6 },
}
const rowCount = Number(options.rows)
const lengths = options.lengths.split(',').map(Number)
const rng = createRng('shapes')
const files = await readEncoderFiles(resolve(options.model))
const config = parseEncoderConfig(files)
const weights = readEncoderWeights(readSafetensors(files.weights), config)
const runtime = await openInProcessRuntime({ threads: Number(options.threads) })

console.log(surroundingsLine(surroundings()))
for (const key of options.cases.split(',')) await compare(CASES[key])
await runtime.close()

async function compare({ name, method, layerCount }) {
  const { model, calls } = await capture({ method, layerCount })
  await runtime.load('dynamic', model.bytes, model.hints)
  const before = process.memoryUsage().rss
  const started = performance.now()
  for (const length of lengths) {
    const known = { batch: rowCount, length, 'batch*length': rowCount * length }
    await runtime.load(`static ${length}`, withDimensions(model.bytes, known), model.hints)
  }
  const opened = (performance.now() - started) / lengths.length
  const times = lengths.map(() => ({ dynamic: [], static: [] }))
  // The first round allocates and is not counted.
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const [i, length] of lengths.entries()) {
      const sides = ['dynamic', 'static']
      for (const side of round % 2 === 0 ? sides : sides.reverse()) {
        const { feeds, outputs } = calls[i]
        const from = process.cpuUsage()
        await runtime.runInto(side === 'static' ? `static ${length}` : side, feeds, outputs)
        if (round > 0) times[i][side].push(cpuMs(from))
      }
    }
  }
  const grown = (process.memoryUsage().rss - before) / 1e6 / lengths.length
  console.log(
    `\n${name}; a fixed session takes ${ms(opened)} ms to open and about ${grown.toFixed(0)} MB`,
  )
  const rows = lengths.map((length, i) => {
    const { dynamic, static: fixed } = times[i]
    const [a, b] = [Math.min(...dynamic), Math.min(...fixed)]
    const medians = [dynamic, fixed].map(values => ms(quantile(values, 0.5)))
    return [`${rowCount} × ${length}`, ms(a), ms(b), `${(a / b).toFixed(2)} ×`, ...medians]
  })
  console.log(
    table(['rows × tokens', 'dynamic, CPU ms', 'fixed', 'gain', 'median dynamic', 'fixed'], rows),
  )
  for (const session of ['dynamic', ...lengths.map(length => `static ${length}`)])
    await runtime.unload(session)
}

function cpuMs(from) {
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1000
}

/** The gradients' model, and what one step of each length feeds it. */
async function capture(recipe) {
  const encoder = trainableEncoder({
    config,
    weights,
    recipe: { rank: 8, alpha: 16, targetModules: ['query', 'value'], ...recipe },
    rng: rng.fork('adapters'),
  })
  const head = {
    weights: Float32Array.from({ length: config.hiddenSize * CLASSES }, () => 0.02 * rng.normal()),
    bias: new Float32Array(CLASSES),
  }
  const graph = classifierGraph({
    config,
    encoder,
    classCount: CLASSES,
    scale: 20,
    head,
    isPrefixCached: false,
  })
  let model = null
  const calls = []
  const watching = {
    ...runtime,
    load(session, bytes, hints) {
      if (session.endsWith('/gradients')) model = { bytes, hints }
      return runtime.load(session, bytes, hints)
    },
    runInto(session, feeds, outputs) {
      if (session.endsWith('/gradients')) calls.push({ feeds, outputs })
      return runtime.runInto(session, feeds, outputs)
    },
  }
  const trainer = await openTrainer({
    graph,
    parameters: graph.specs,
    rows: encoder.rows,
    optimizer: adamW(),
    runtime: watching,
  })
  for (const length of lengths)
    await trainer.train([{ feeds: feedsOf(length) }], { learningRate: 1e-5 })
  await trainer.close()
  return { model, calls }
}

function feedsOf(length) {
  const cells = rowCount * length
  const targets = new Float32Array(rowCount * CLASSES)
  for (let row = 0; row < rowCount; row++) targets[row * CLASSES + rng.int(CLASSES)] = 1
  const int64 = value => ({
    type: 'int64',
    dims: [rowCount, length],
    data: BigInt64Array.from({ length: cells }, value),
  })
  return {
    inputIds: int64(() => BigInt(1000 + rng.int(config.vocabularySize - 1000))),
    attentionMask: int64(() => 1n),
    targets: { type: 'float32', dims: [rowCount, CLASSES], data: targets },
    weights: {
      type: 'float32',
      dims: [rowCount],
      data: new Float32Array(rowCount).fill(1 / rowCount),
    },
  }
}
