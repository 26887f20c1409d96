/**
 * Runs a fine-tuning job folder for real on CPU PyTorch: in one process, under torchrun with two, on two "nodes" of one process
 * each, and killed with SIGKILL and started again. Reads each result back, puts the adapter into the encoder here, and compares
 * logits, weights and accuracy.
 *
 *   npm run build && node bench/train/torch-job.mjs --python PYTHON --model FOLDER [--data ../shared/data] [--rows 300]
 *     [--classes 10] [--epochs 2] [--method lora] [--out FILE]
 */
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import {
  createEncoder,
  mergeAdapter,
  readModelFolder,
  writeModelFolder,
} from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'
import { completeRecipe, readTorchJobResult, writeTorchJob } from '../../dist/train/index.js'
import { createRng } from '../../dist/util/index.js'
import { readDataset } from '../datasets.mjs'
import { surroundings, surroundingsLine, table } from '../lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    rows: { type: 'string', default: '300' },
    classes: { type: 'string', default: '10' },
    epochs: { type: 'string', default: '2' },
    method: { type: 'string', default: 'lora' },
    out: { type: 'string' },
  },
})
if (options.model === undefined) throw new Error('--model FOLDER: the encoder')
/** One thread each: two processes share two cores. */
const ARGUMENTS = ['--threads', '1', '--checkpoint-every', '2']

const scratch = mkdtempSync(join(tmpdir(), 'understudy-torch-job-'))
const around = surroundings()
console.log(surroundingsLine(around))
try {
  const rows = chooseRows()
  const original = join(scratch, 'job')
  const job = await writeTorchJob(original, {
    recipe: completeRecipe({
      method: options.method,
      epochCount: Number(options.epochs),
      accumulationSteps: 2,
    }),
    baseModel: { kind: 'folder', name: 'all-minilm-l6-v2', folder: resolve(options.model) },
    maxTokens: 64,
    pooling: (await readModelFolder(resolve(options.model))).config.pooling,
    ...rows,
  })
  console.log(
    `job ${job.id}: ${job.data.trainingCount} training and ${job.data.selectionCount} selection rows`,
  )
  const results = {}
  for (const [name, run] of Object.entries({ single, twoProcesses, twoNodes, killed })) {
    const dir = join(scratch, name)
    cpSync(original, dir, { recursive: true })
    const startMs = performance.now()
    const note = await run(dir)
    const seconds = (performance.now() - startMs) / 1000
    const result = await readTorchJobResult(dir, { id: job.id })
    results[name] = {
      result,
      note,
      seconds,
      hereDifference: await differenceHere(dir, result, rows),
    }
  }
  report(results)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(0)

function chooseRows() {
  const all = createRng('torch job').shuffle(readDataset('banking77', options.data))
  const labels = [...new Set(all.map(row => row.label))].sort().slice(0, Number(options.classes))
  const chosen = all.filter(row => labels.includes(row.label)).slice(0, Number(options.rows))
  const rows = chosen.map(({ text, label }, i) => ({
    split: i % 5 === 0 ? 'selection' : 'training',
    text,
    labels: [labels.indexOf(label)],
  }))
  return { rows, labels }
}

async function single(dir) {
  await finish(start(options.python, ['train.py', ...ARGUMENTS], dir))
}

async function twoProcesses(dir) {
  await finish(start('./launch.sh', ARGUMENTS, dir, { NPROC_PER_NODE: '2' }))
}

async function twoNodes(dir) {
  const node = rank => ({
    NNODES: '2',
    NODE_RANK: rank,
    MASTER_ADDR: '127.0.0.1',
    MASTER_PORT: '29517',
  })
  await Promise.all(
    ['0', '1'].map(rank => finish(start('./launch.sh', ARGUMENTS, dir, node(rank)))),
  )
}

/** SIGKILL twice: once soon after the first checkpoint, once a while later. */
async function killed(dir) {
  const kills = []
  for (let round = 0; round < 2; round++) {
    const child = start(options.python, ['train.py', ...ARGUMENTS], dir)
    await Promise.race([
      checkpointAfter(dir, performance.timeOrigin + performance.now()),
      child.ended,
    ])
    if (child.process.exitCode !== null)
      throw new Error(`it ended before it could be killed\n${child.text()}`)
    child.process.kill('SIGKILL')
    await child.ended
    kills.push(/goes on after update \d+/.exec(child.text())?.[0] ?? 'from the start')
  }
  const child = start(options.python, ['train.py', ...ARGUMENTS], dir)
  await finish(child)
  return [...kills, /goes on after update \d+/.exec(child.text())?.[0]].join(', ')
}

/** Resolves when a checkpoint newer than `sinceMs` lies there. */
async function checkpointAfter(dir, sinceMs) {
  const path = join(dir, 'checkpoint.pt')
  while (!existsSync(path) || statSync(path).mtimeMs <= sinceMs) {
    await new Promise(wake => setTimeout(wake, 20))
  }
}

function start(command, args, cwd, env = {}) {
  const python = dirname(options.python)
  const child = spawn(command, args, {
    cwd,
    env: {
      ...process.env,
      ...(python === '.' ? {} : { PATH: `${python}${delimiter}${process.env.PATH}` }),
      OMP_NUM_THREADS: '1',
      HF_HUB_OFFLINE: '1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', part => {
      text += part
    })
  }
  const ended = new Promise(done => child.once('close', done))
  return { process: child, ended, text: () => text }
}

async function finish(child) {
  const code = await child.ended
  if (code !== 0) throw new Error(`ended with ${code}\n${child.text()}`)
}

/** Largest difference between PyTorch's logits and those of the trained encoder in ONNX Runtime. */
async function differenceHere(dir, result, { rows }) {
  const { adapter, modelFolder, classifier, hiddenSize, job, selectionLogits } = result
  const base = await readModelFolder(modelFolder ?? join(dir, 'model'))
  const folder = join(dir, 'merged')
  await writeModelFolder(folder, {
    ...base,
    weights: adapter === null ? base.weights : mergeAdapter(base.weights, adapter),
  })
  const runtime = await openInProcessRuntime()
  const encoder = await createEncoder({ name: 'trained', source: folder, runtime })
  const texts = rows.filter(row => row.split === 'selection').map(row => row.text)
  const embeddings = await encoder.embed(texts)
  let largest = 0
  selectionLogits.forEach((logit, i) => {
    const [row, label] = [Math.floor(i / job.labels.length), i % job.labels.length]
    let sum = 0
    for (let d = 0; d < hiddenSize; d++) {
      sum += embeddings[row * hiddenSize + d] * classifier.weight[label * hiddenSize + d]
    }
    const here = job.recipe.scale * sum + classifier.bias[label]
    largest = Math.max(largest, Math.abs(here - logit))
  })
  await encoder.close()
  await runtime.close()
  return largest
}

function report(results) {
  const reference = results.single.result
  const rows = Object.entries(results).map(([name, { result, note, seconds, hereDifference }]) => {
    const { epochs, selectionAccuracy, processCount } = result.metrics
    return {
      name,
      processes: processCount,
      seconds: Number(seconds.toFixed(1)),
      firstLoss: epochs[0].loss,
      lastLoss: epochs.at(-1).loss,
      selectionAccuracy,
      weightsFromSingle: weightDifference(result, reference),
      logitsFromHere: hereDifference,
      note: note ?? '',
    }
  })
  console.log(
    table(
      Object.keys(rows[0]),
      rows.map(row => Object.values(row).map(value => shown(value))),
    ),
  )
  if (options.out !== undefined) {
    writeFileSync(options.out, `${JSON.stringify({ ...around, rows }, null, 2)}\n`)
  }
  const killedRow = rows.find(row => row.name === 'killed')
  if (killedRow.weightsFromSingle > 1e-6) throw new Error('a killed run ended elsewhere')
  const far = rows.find(row => row.logitsFromHere > 1e-3)
  if (far !== undefined) throw new Error(`${far.name}: logits here differ from those of PyTorch`)
}

function shown(value) {
  const isRounded = typeof value === 'number' && !Number.isInteger(value)
  return isRounded ? Number(value.toPrecision(4)) : value
}

/** Largest difference of any trained number: head and adapters. */
function weightDifference(one, other) {
  const tensorsOf = ({ classifier, adapter }) => [
    classifier.weight,
    classifier.bias,
    ...[...(adapter?.modules.values() ?? [])].flatMap(({ a, b }) => [a, b]),
  ]
  const others = tensorsOf(other)
  return Math.max(
    ...tensorsOf(one).flatMap((tensor, i) =>
      tensor.reduce((most, value, at) => Math.max(most, Math.abs(value - others[i][at])), 0),
    ),
  )
}
