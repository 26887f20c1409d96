import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  ERROR_MEANINGS,
  renderJsonSchema,
  renderReference,
  SCHEMA_FILE,
  withRegion,
} from '../../scripts/reference.mjs'
import { commandTable } from '../../src/cli/commands/index.ts'
import { commandHelp } from '../../src/cli/help.ts'
import { configJsonSchema, fileName, SETTINGS } from '../../src/config/index.ts'
import { OPERATORS } from '../../src/engine/index.ts'
import { VJP } from '../../src/engine/vjp.ts'
import { ERRORS } from '../../src/errors.ts'

const folder = join(import.meta.dirname, '..', '..', 'docs', 'reference')
const commands = await Promise.all(commandTable.map(entry => entry.load()))

describe('reference pages', () => {
  const regions = renderReference({
    commands,
    errors: ERRORS,
    settings: SETTINGS,
    fileName,
    commandHelp,
    operators: OPERATORS,
    gradients: VJP,
  })

  it.each(Object.keys(regions))('%s says what the code says (else run `npm run docs`)', page => {
    const text = readFileSync(join(folder, page), 'utf8')
    expect(text).toBe(withRegion(page, text, regions[page] as string))
  })

  it('have a JSON Schema of the configuration beside them (else run `npm run docs`)', () => {
    expect(readFileSync(join(folder, SCHEMA_FILE), 'utf8')).toBe(
      renderJsonSchema(configJsonSchema()),
    )
  })

  it('explain every error code, and no other', () => {
    expect(Object.keys(ERROR_MEANINGS).sort()).toEqual(Object.keys(ERRORS).sort())
  })

  it('keep what people wrote around the generated region', () => {
    const first = withRegion('errors.md', null, 'old')
    expect(withRegion('errors.md', `Before ${first} after`, 'new')).toBe(
      `Before ${first.replace('old', 'new')} after`,
    )
  })
})

describe('commands', () => {
  it('carry the name and summary of their entry, help and an example', () => {
    for (const [i, entry] of commandTable.entries()) {
      const command = commands[i]
      expect(command).toMatchObject({ name: entry.name, summary: entry.summary })
      expect(command?.examples.length).toBeGreaterThan(0)
      for (const example of command?.examples ?? []) {
        expect(`${example} `).toContain(`understudy ${entry.name} `)
      }
      for (const option of command?.options ?? []) expect(option.help).not.toBe('')
    }
  })

  it('are told apart by name', () => {
    expect(new Set(commandTable.map(entry => entry.name)).size).toBe(commandTable.length)
  })
})
