/** `understudy train` from a file of rows to the accuracy of the folder it wrote. Needs `npm run build`. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openCompressedClassifier, readModelFolder } from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'

const CLI = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))

const cell = value => `"${value.replaceAll('"', '""')}"`

/** Rows `{ text, label }` as CSV with a header line. */
export function writeCsv(path, rows) {
  const lines = rows.map(({ text, label }) => `${cell(text)},${cell(label)}\n`)
  writeFileSync(path, `text,label\n${lines.join('')}`)
}

/** Seconds that a command took. */
export function run(command, args) {
  const started = performance.now()
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 28 })
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`)
  return (performance.now() - started) / 1000
}

/** Seconds of `understudy train`; everything counts. */
export function train(file, { output, base, data, budget, method = 'auto' }) {
  return run(process.execPath, [
    ...[CLI, 'train', file, '--output', output, '--base', base, '--data', data],
    ...['--budget', budget, '--method', method],
  ])
}

/** Share of the rows that the model of a folder gets right. */
export async function accuracyOf(folder, rows, { threads = 2 } = {}) {
  const { onnx, labels, config, tokenizer } = await readModelFolder(folder)
  const runtime = await openInProcessRuntime({ threads })
  const classCount = labels.length
  const handle = await openCompressedClassifier({
    name: 'trained',
    graph: onnx,
    precision: 'float32',
    config,
    tokenizer: new TextDecoder().decode(tokenizer.get('tokenizer.json')),
    classCount,
    runtime,
  })
  const logits = await handle.logits(rows.map(({ text }) => text))
  await runtime.close()
  const right = rows.filter(({ label }, row) => {
    const own = logits.subarray(row * classCount, (row + 1) * classCount)
    return labels[own.indexOf(Math.max(...own))] === label
  })
  return right.length / rows.length
}
