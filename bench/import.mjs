/**
 * Imports a generated file and prints speed and peak memory of the importing process.
 * Usage: node bench/import.mjs [--gb 5] [--line-bytes 2000] [--keep]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { importInChild } from '../test/import/import-in-child.mjs'
import { writeTraffic } from '../test/import/traffic.mjs'

const { values } = parseArgs({
  options: {
    gb: { type: 'string', default: '5' },
    'line-bytes': { type: 'string', default: '2000' },
    keep: { type: 'boolean', default: false },
  },
})
const byteCount = Number(values.gb) * 1e9
const lineBytes = Number(values['line-bytes'])
const folder = mkdtempSync(join(tmpdir(), 'understudy-bench-'))
try {
  const path = join(folder, 'traffic.jsonl')
  process.stderr.write(`writing ${values.gb} GB …\n`)
  const lineCount = await writeTraffic(path, { byteCount, lineBytes })
  process.stderr.write(`importing ${lineCount.toLocaleString('en')} lines …\n`)
  const { report, seconds, peakMb } = await importInChild(join(folder, 'data'), path)
  const row = {
    gb: Number(values.gb),
    lineBytes,
    lineCount,
    importedCount: report.importedCount,
    seconds: Number(seconds.toFixed(1)),
    mbPerSecond: Number((byteCount / 1e6 / seconds).toFixed(1)),
    peakMb: Math.round(peakMb),
  }
  process.stdout.write(`${JSON.stringify(row)}\n`)
} finally {
  if (!values.keep) rmSync(folder, { recursive: true, force: true })
}
