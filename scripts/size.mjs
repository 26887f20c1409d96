/** Prints lines of source and tests per folder. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const rows = new Map()

for (const top of ['src', 'test', 'bench', 'scripts']) {
  for (const entry of readdirSync(join(ROOT, top), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(ts|mjs|py)$/.test(entry.name)) continue
    const path = relative(ROOT, join(entry.parentPath, entry.name))
    const folder = path.split(sep).slice(0, -1).slice(0, 2).join('/')
    const row = rows.get(folder) ?? { source: 0, test: 0, files: 0 }
    const lines = readFileSync(join(ROOT, path), 'utf8').split('\n').length - 1
    row[top === 'test' || /\.test\.ts$/.test(path) ? 'test' : 'source'] += lines
    row.files++
    rows.set(folder, row)
  }
}

const total = { source: 0, test: 0, files: 0 }
for (const row of rows.values()) for (const key of Object.keys(total)) total[key] += row[key]
for (const [folder, row] of [...rows]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .concat([['total', total]])) {
  const cells = [row.source, row.test, row.files].map(value => String(value).padStart(7))
  process.stdout.write(`${folder.padEnd(20)}${cells.join('')}\n`)
}
process.stdout.write(`${'(lines)'.padEnd(20)} source   test  files\n`)
