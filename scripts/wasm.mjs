/** Assembles src/engine/adamw.wat into src/engine/adamw-wasm.ts; a test compares the two. Run by hand after a change. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import wabt from 'wabt'

const file = name => fileURLToPath(new URL(`../src/engine/${name}`, import.meta.url))

/** The module's bytes, base64. */
export async function assemble() {
  const tools = await wabt()
  const module = tools.parseWat('adamw.wat', readFileSync(file('adamw.wat'), 'utf8'))
  return Buffer.from(module.toBinary({}).buffer).toString('base64')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = `/** Made from adamw.wat by \`node scripts/wasm.mjs\`; not to be edited. */\nexport const ADAMW_WASM =\n  '${await assemble()}'\n`
  writeFileSync(file('adamw-wasm.ts'), text)
}
