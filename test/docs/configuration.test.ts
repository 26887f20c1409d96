/** Every yaml block of the configuration page is a configuration. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'

const page = join(import.meta.dirname, '..', '..', 'docs', 'configuration.md')
const blocks = [...(await readFile(page, 'utf8')).matchAll(/^```yaml\n(.*?)^```$/gmsu)].map(
  ([, text]) => String(text),
)

let dataDir: string
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'understudy-docs-'))
})
afterAll(() => rm(dataDir, { recursive: true }))

it('has blocks', () => {
  expect(blocks.length).toBeGreaterThan(3)
})

it.each(blocks)('%s', async text => {
  await writeFile(join(dataDir, 'understudy.yaml'), text)
  const names = [...text.matchAll(/\$\{([A-Z_]+)\}/gu)].map(([, name]) => String(name))
  const env = Object.fromEntries(names.map(name => [name, `value-of-${name}`]))
  await expect(loadConfig({ dataDir, env })).resolves.toMatchObject({ file: expect.any(String) })
})
