import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { CATALOG } from '../../models/index.ts'
import { recordingTerminal } from '../testing.ts'
import {
  modelCommands,
  modelsListCommand,
  modelsPullCommand,
  modelsRemoveCommand,
} from './models.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-cli-models-'))
})
afterEach(() => rm(folder, { recursive: true }))

const terminal = () =>
  recordingTerminal({ env: { UNDERSTUDY_MODELS: folder, UNDERSTUDY_OFFLINE: '1' } })
const input = (positionals: string[], options = {}) => ({ positionals, options })

it('lists every model of the catalog, for people and for machines', async () => {
  const forPeople = terminal()
  expect(await modelsListCommand.run(input([]), forPeople)).toBe(0)
  for (const { name, licence } of CATALOG) {
    expect(forPeople.written().out).toMatch(new RegExp(`${name}.*absent.*${licence}`))
  }
  const forMachines = terminal()
  await modelsListCommand.run(input([], { json: true }), forMachines)
  expect(JSON.parse(forMachines.written().out)).toMatchObject(
    CATALOG.map(({ name }) => ({ name, state: 'absent', bytesHere: 0 })),
  )
})

it('does not touch the network when offline, and says what to do', async () => {
  for (const env of [{ UNDERSTUDY_OFFLINE: '1' }, {}]) {
    const quiet = recordingTerminal({ env: { UNDERSTUDY_MODELS: folder, ...env } })
    const pulling = modelsPullCommand.run(input(['smollm2-135m'], { offline: true }), quiet)
    await expect(pulling).rejects.toMatchObject({ code: 'model-unavailable' })
    expect(quiet.written().out).toBe('')
  }
})

it('refuses a name that is not in the catalog', async () => {
  for (const command of [modelsPullCommand, modelsRemoveCommand]) {
    await expect(command.run(input(['nothing']), terminal())).rejects.toMatchObject({
      code: 'not-found',
    })
  }
})

it('removes what is there and says so when nothing was', async () => {
  await mkdir(join(folder, 'smollm2-135m'))
  await writeFile(join(folder, 'smollm2-135m/rest.part'), 'x')
  const first = terminal()
  expect(await modelsRemoveCommand.run(input(['smollm2-135m']), first)).toBe(0)
  expect(first.written().out).toBe('smollm2-135m is removed\n')
  const second = terminal()
  await modelsRemoveCommand.run(input(['smollm2-135m'], { json: true }), second)
  expect(JSON.parse(second.written().out)).toEqual([{ name: 'smollm2-135m', removed: false }])
})

it('gives every command a summary and an example that begins with its name', () => {
  for (const { name, summary, examples } of modelCommands) {
    expect(summary).toMatch(/\.$/)
    for (const example of examples) expect(example).toContain(`understudy ${name}`)
    expect(examples.length).toBeGreaterThan(0)
  }
})
