/** The tutorial of docs/engine.md runs as it stands, from a file inside the package, and learns. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

it('the tutorial trains a small network, in about thirty lines before its data', async () => {
  const page = readFileSync(join(root, 'docs/engine.md'), 'utf8')
  const code = /```js\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const [network = ''] = code.split('\nfunction start')
  expect(network.split('\n').length).toBeLessThanOrEqual(30)
  const folder = join(root, '.cache', `tutorial-${process.pid}`)
  await mkdir(folder, { recursive: true })
  try {
    const path = join(folder, 'tutorial.mjs')
    await writeFile(path, code)
    const { stdout } = await promisify(execFile)(process.execPath, [path])
    const losses = [...stdout.matchAll(/loss ([\d.]+)/g)].map(match => Number(match[1]))
    expect(losses).toHaveLength(3)
    expect(losses.at(-1)).toBeLessThan(0.2)
  } finally {
    await rm(folder, { recursive: true })
  }
})
