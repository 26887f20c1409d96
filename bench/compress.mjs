/**
 * Smaller variants of an encoder classifier side by side: size, time, accuracy, certified coverage, on Banking77.
 *
 *   npm run build && node bench/compress.mjs [--data ../shared/data] [--model FOLDER] [--rows 6000] [--seed 0]
 *                                           [--certified every|chosen] [--budget SECONDS] [--threads 2] [--variants REGEXP]
 *                                           [--only table|calls] [--python PYTHON] [--out FILE]
 *
 * Certification rows are a fifth of the input groups, set aside by `splitInputs`; a fifth of the rest selects. `--budget` is for
 * training what is left after layers are dropped, all variants together; those without time are left out. Then, or with
 * `--only calls` alone, the bare runtime call at batch 1 and 16 tokens, float32 and quantised taking turns, with 1 and 2 threads;
 * with `--python`, PyTorch's dynamic int8 quantisation beside its float32 in the same run (needs torch and transformers).
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { renderCompressReport } from '../dist/cli/compress-table.js'
import {
  compressedGraph,
  ensureModel,
  readModelFolder,
  trimmingReport,
  trimVocabulary,
} from '../dist/models/index.js'
import { openInProcessRuntime } from '../dist/runtimes/index.js'
import { splitInputs } from '../dist/tasks/index.js'
import { compressClassifier, defaultVariants } from '../dist/train/index.js'
import { createRng, quantile } from '../dist/util/index.js'
import { readDataset } from './datasets.mjs'
import { ms, surroundings, surroundingsLine } from './lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string' },
    rows: { type: 'string', default: '6000' },
    seed: { type: 'string', default: '0' },
    certified: { type: 'string', default: 'every' },
    budget: { type: 'string', default: '600' },
    variants: { type: 'string', default: '' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '40' },
    python: { type: 'string' },
    only: { type: 'string' },
    out: { type: 'string' },
  },
})
const TOKENS = 16
const wanted = new RegExp(options.variants)
const THREADS = [1, 2]

const around = surroundings()
console.log(surroundingsLine(around))
const folder = options.model ?? (await ensureModel('all-minilm-l6-v2')).dir
const model = await readModelFolder(folder)
const table = options.only === 'calls' ? null : await tableOfVariants()
const bare = options.only === 'table' ? null : await bareCalls()
if (options.python !== undefined) peer()
if (options.out !== undefined) {
  writeFileSync(options.out, `${JSON.stringify({ ...around, ...table, bare }, null, 2)}\n`)
}

async function tableOfVariants() {
  const { training, certification, classCount } = readSplit()
  const runtime = await openInProcessRuntime({ threads: Number(options.threads) })
  const { report } = await compressClassifier({
    model,
    variants: defaultVariants(model).filter(({ name }) => wanted.test(name)),
    classCount,
    training,
    certification,
    targetRisk: 0.05,
    delta: 0.1,
    certified: options.certified,
    seed: Number(options.seed),
    runtime,
    signal: new AbortController().signal,
    retraining: { runtime, budgetMs: 1000 * Number(options.budget), stateDir: null },
    onProgress({ stage, done, total, note = '' }) {
      if (stage === 'variants' || done === total) console.error(`${stage} ${done}/${total} ${note}`)
    },
  })
  await runtime.close()
  console.log(renderCompressReport(report))
  if (report.leftOut.length > 0) console.log('no time to train:', report.leftOut.join('; '))
  const trimmed = trimVocabulary(model, training.inputs)
  const trimming = trimmingReport(model, trimmed, certification.inputs)
  console.log('trimming, on texts it was not made for:', JSON.stringify(trimming))
  return { report, trimming }
}

/** Rows of the data by role, certification rows one of each group. */
function readSplit() {
  const rng = createRng(`bench/compress/${options.seed}`)
  const rows = rng.shuffle(readDataset('banking77', options.data)).slice(0, Number(options.rows))
  const classes = [...new Set(rows.map(row => row.label))].sort()
  const { ofInput } = splitInputs({ inputs: rows.map(row => row.text), salt: options.seed })
  const numbers = new Map()
  const groupOf = i => {
    const { group } = ofInput[i]
    if (!numbers.has(group)) numbers.set(group, numbers.size)
    return numbers.get(group)
  }
  const pick = list => ({
    inputs: list.map(i => rows[i].text),
    labels: Int32Array.from(list, i => classes.indexOf(rows[i].label)),
    groups: Int32Array.from(list, groupOf),
  })
  const sides = { training: [], certification: [] }
  const seen = new Set()
  rows.forEach((_, i) => {
    const { side, group } = ofInput[i]
    if (side === 'certification' && seen.has(group)) return
    seen.add(group)
    sides[side].push(i)
  })
  return {
    training: pick(sides.training),
    certification: pick(sides.certification),
    classCount: classes.length,
  }
}

/** The runtime call alone, precisions taking turns in blocks; the first call of a block is not counted. */
async function bareCalls() {
  const data = BigInt64Array.from({ length: TOKENS }, (_, i) => BigInt(1000 + 37 * i))
  const feeds = {
    inputIds: { type: 'int64', dims: [1, TOKENS], data },
    attentionMask: { type: 'int64', dims: [1, TOKENS], data: data.map(() => 1n) },
  }
  const results = {}
  for (const threads of THREADS) {
    const inProcess = await openInProcessRuntime({ threads })
    const precisions = ['float32', 'int8', 'int4']
    const times = Object.fromEntries(precisions.map(one => [one, { wallMs: [], cpuMs: [] }]))
    for (const precision of precisions) {
      await inProcess.load(precision, compressedGraph(model, { precision }))
    }
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const precision of precisions) {
        let before
        for (let call = 0; call < 9; call++) {
          if (call === 1) before = process.cpuUsage()
          const startMs = performance.now()
          await inProcess.run([{ session: precision, feeds }], { outputs: ['embedding'] })
          if (call > 0) times[precision].wallMs.push(performance.now() - startMs)
        }
        const { user, system } = process.cpuUsage(before)
        times[precision].cpuMs.push((user + system) / 8000)
      }
    }
    await inProcess.close()
    results[threads] = times
    for (const precision of precisions) {
      const { wallMs, cpuMs } = times[precision]
      const ratio = (kind, q) =>
        (quantile(times.float32[kind], q) / quantile(times[precision][kind], q)).toFixed(2)
      console.log(
        `${threads} thread${threads > 1 ? 's' : ''}  ${precision.padEnd(8)} p50 ${ms(quantile(wallMs, 0.5))}  p10 ${ms(quantile(wallMs, 0.1))}  least ${ms(Math.min(...wallMs))}  CPU p50 ${ms(quantile(cpuMs, 0.5))}   times faster: p50 ${ratio('wallMs', 0.5)}  p10 ${ratio('wallMs', 0.1)}  least ${ratio('wallMs', 0)}  CPU ${ratio('cpuMs', 0.5)}`,
      )
    }
  }
  return results
}

function peer() {
  const script = join('bench', 'baselines', 'dynamic_int8.py')
  const { stdout, status } = spawnSync(options.python, [script, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error('PyTorch failed; are torch and transformers installed?')
  console.log(stdout.trim())
}
