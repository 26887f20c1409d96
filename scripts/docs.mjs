/** Writes the generated regions of docs/reference from the built code: `npm run docs`. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { commandTable } from '../dist/cli/commands/index.js'
import { commandHelp } from '../dist/cli/help.js'
import { configJsonSchema, fileName, SETTINGS } from '../dist/config/index.js'
import { OPERATORS } from '../dist/engine/index.js'
import { VJP } from '../dist/engine/vjp.js'
import { ERRORS } from '../dist/errors.js'
import { renderJsonSchema, renderReference, SCHEMA_FILE, withRegion } from './reference.mjs'

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '..', 'docs', 'reference')

const commands = await Promise.all(commandTable.map(entry => entry.load()))
const regions = renderReference({
  commands,
  errors: ERRORS,
  settings: SETTINGS,
  fileName,
  commandHelp,
  operators: OPERATORS,
  gradients: VJP,
})
mkdirSync(FOLDER, { recursive: true })
for (const [page, body] of Object.entries(regions)) {
  const path = join(FOLDER, page)
  const existing = existsSync(path) ? readFileSync(path, 'utf8') : null
  writeFileSync(path, withRegion(page, existing, body))
}
writeFileSync(join(FOLDER, SCHEMA_FILE), renderJsonSchema(configJsonSchema()))
