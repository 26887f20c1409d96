/** Trains a toy encoder as its order says, reporting steps, and prints a hash of the weights at the end. `keeps-state`: is killed then. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readEncoderFiles } from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'
import { trainModel } from '../../dist/train/index.js'

const [orderFile, keepsState] = process.argv.slice(2)
const { base, rows, stateDir } = JSON.parse(readFileSync(orderFile, 'utf8'))
const runtime = await openInProcessRuntime({ threads: 1 })
const { parts, record, discardState } = await trainModel({
  task: 'label',
  rows,
  base: { name: 'toy', files: await readEncoderFiles(base) },
  plan: {
    kind: 'search',
    method: 'full',
    budgetMs: 3_600_000,
    fixed: { epochCount: 12, learningRate: 5e-3 },
    seed: 0,
    memoryBytes: 2 ** 28,
  },
  runtime,
  threads: 1,
  stateDir,
  checkpointMs: 20,
  signal: new AbortController().signal,
  onProgress: progress => process.stdout.write(`${JSON.stringify(progress)}\n`),
  versions: {},
})
const hash = createHash('sha256')
for (const layer of parts.weights.layers) {
  for (const one of Object.values(layer)) {
    for (const values of Object.values(one))
      hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
}
hash.update(new Uint8Array(parts.head.weights.buffer))
process.stdout.write(`${JSON.stringify({ weights: hash.digest('hex'), id: record.id })}\n`)
// Killed after training, before the model is on disk: for a job that is the time in which it writes.
if (keepsState === 'keeps-state') process.kill(process.pid, 'SIGKILL')
await discardState()
await runtime.close()
