import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { UnderstudyError } from '../errors.ts'
import { configHash, loadConfig } from './load.ts'
import { priceOf } from './prices.ts'
import { SETTINGS } from './settings.ts'

let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'understudy-config-'))
})
afterEach(async () => {
  await rm(dataDir, { recursive: true })
})

async function load(yaml: string | null, env: Record<string, string> = {}) {
  if (yaml !== null) await writeFile(join(dataDir, 'understudy.yaml'), yaml)
  return loadConfig({ dataDir, env })
}

async function failure(yaml: string | null, env: Record<string, string> = {}) {
  try {
    await load(yaml, env)
  } catch (error) {
    if (error instanceof UnderstudyError && error.code === 'config-invalid') {
      return `${error.message.replace(`${dataDir}/`, '')} | ${error.help}`
    }
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('loadConfig', () => {
  it('has defaults for everything', async () => {
    const { settings, keys, tasks, file } = await load(null)
    for (const [name, spec] of Object.entries(SETTINGS)) {
      expect(settings[name as keyof typeof settings]).toBe(spec.default)
    }
    expect({ keys, tasks, file }).toEqual({ keys: [], tasks: [], file: null })
  })

  it('takes the file over defaults and the environment over the file', async () => {
    const yaml = 'port: 9000\nlead: http://a/v1\nmax-body-mb: 1.5\ndurability: sync\n'
    const { settings } = await load(yaml, { UNDERSTUDY_PORT: '9001', UNDERSTUDY_HOST: '' })
    expect(settings).toMatchObject({
      port: 9001,
      lead: 'http://a/v1',
      maxBodyMb: 1.5,
      durability: 'sync',
      host: '127.0.0.1',
    })
  })

  it('reads declared tasks, keys and prices', async () => {
    const config = await load(
      [
        'tasks:',
        '  - name: triage',
        '    match: {app: desk, system: "Sort."}',
        '  - name: by-header',
        'keys:',
        '  - {key: "${DESK_KEY}", app: desk}',
        'prices:',
        '  gpt-4o: {input: 1, output: 2}',
        '  our-model: {input: 0.5, output: 0.5}',
      ].join('\n'),
      { UNDERSTUDY_KEY: 'secret-main', DESK_KEY: 'secret-desk' },
    )
    expect(config.tasks).toEqual([
      { name: 'triage', match: { app: 'desk', system: 'Sort.' } },
      { name: 'by-header', match: null },
    ])
    expect(config.keys).toMatchObject([
      { key: 'secret-main', app: null, name: 'UNDERSTUDY_KEY', role: 'operator', budget: null },
      { key: 'secret-desk', app: 'desk', name: 'desk', role: 'caller', models: null },
    ])
    expect(priceOf('gpt-4o', config.prices)).toEqual({ inUsd: 1, outUsd: 2 })
    expect(priceOf('our-model', config.prices)).toEqual({ inUsd: 0.5, outUsd: 0.5 })
    expect(priceOf('gpt-4o-mini', config.prices)).not.toBeNull()
  })

  it.each([
    [
      'host: x\nport: abc',
      'understudy.yaml line 2, column 7: port must be a whole number from 0 to 65535. | correct port there.',
    ],
    ['port: 70000', 'line 1, column 7: port must be a whole number'],
    ['port: 1.5', 'line 1, column 7: port must be a whole number'],
    [
      '\n\nprot: 1',
      "understudy.yaml line 3, column 7: there is no setting 'prot'. | did you mean 'port'?",
    ],
    ['leadKey: x', "did you mean 'lead-key'?"],
    ['lead-key: "${LEAD-KEY}"', 'lead-key holds a ${ that begins no substitution'],
    ['lead-key: "${LEAD_KEY"', 'write ${NAME}'],
    ['durability: never', 'durability must be group or sync'],
    ['host: ""', 'host must not be empty'],
    ['tasks: {}', 'tasks must be a list'],
    ['tasks:\n  - match: {app: a}', 'tasks.0.name'],
    ['tasks:\n  - name: a\n    match: {}', 'line 3, column 12: tasks.0.match must name an app'],
    ['tasks:\n  - name: a\n    match: {modle: x}', "tasks.0.match.modle'. | did you mean 'model'?"],
    ['tasks:\n  - name: a\n  - name: a', "line 3, column 11: tasks.1.name 'a' is declared twice"],
    [
      'prices:\n  gpt: {input: -1, output: 2}',
      'line 2, column 16: prices.gpt.input must not be negative',
    ],
    ['prices:\n  gpt: 3', 'line 2, column 8: prices.gpt'],
    ['keys:\n  - {key: "${SHORT}"}', 'keys.0.key must have at least 8 characters'],
    ['- a\n- b', 'the file must hold settings'],
    ['just text', 'the file must hold settings'],
    ['port: [1', 'line 1, column 9 is not valid YAML'],
    ['port: 1\nport: 2', 'line 2, column 1 is not valid YAML'],
    ['a: &a [x]\nb: *c', 'cannot be resolved: Unresolved alias'],
    ['__proto__: {port: 1}', "there is no setting '__proto__'"],
    ['constructor: 1', "there is no setting 'constructor'"],
  ])('refuses %j, naming line, column and key', async (yaml, message) => {
    expect(await failure(yaml, { SHORT: 'short' })).toContain(message)
  })

  it('names everything that is wrong at once, and not without end', async () => {
    const text = await failure('port: abc\nprot: 1\nhostt: x\n')
    expect(text).toContain('line 1, column 7: port must be a whole number')
    expect(text).toContain("line 2, column 7: there is no setting 'prot'. (did you mean 'port'?)")
    expect(text).toContain("line 3, column 8: there is no setting 'hostt'. (did you mean 'host'?)")
    expect(text).toMatch(/ \| correct these 3 places\.$/u)
    const many = await failure(Array.from({ length: 500 }, (_, i) => `x${i}: 1\n`).join(''))
    expect(many.split('\n')).toHaveLength(21)
    expect(many).toContain('480 more of this kind.')
  })

  it('refuses a bomb of aliases without unfolding it', async () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `l${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`,
    )
    expect(await failure(`l0: &l0 [x]\n${levels.join('\n')}\n`)).toContain(
      'cannot be resolved: Excessive alias count',
    )
  })

  it('refuses a huge file unread, and a folder in its place', async () => {
    expect(await failure(`# ${'x'.repeat(2 ** 20)}\n`)).toContain('larger than 1 MiB')
    await expect(loadConfig({ dataDir, env: {}, file: dataDir })).rejects.toMatchObject({
      code: 'config-invalid',
    })
  })

  it('needs a file that was named, and not the one that is only customary', async () => {
    await expect(loadConfig({ dataDir, env: {}, file: join(dataDir, 'no.yaml') })).rejects.toThrow(
      /no\.yaml cannot be read: there is no such file\.$/,
    )
    expect((await load('# nothing\n')).file).toContain('understudy.yaml')
  })

  it('names the environment variable that is wrong, and never a secret', async () => {
    expect(await failure(null, { UNDERSTUDY_PORT: 'x' })).toBe(
      "UNDERSTUDY_PORT must be a whole number from 0 to 65535, and is 'x'. | correct or unset the environment variable UNDERSTUDY_PORT.",
    )
    expect(await failure('lead-key: [do-not-show]')).not.toContain('do-not-show')
    expect(await failure('lead-key: do-not-show')).not.toContain('do-not-show')
  })

  it('takes no prototype for a price', async () => {
    const { prices } = await load('prices:\n  __proto__: {input: 1, output: 1}\n').catch(() =>
      load('port: 1'),
    )
    expect(priceOf('constructor', prices)).toBeNull()
    expect(priceOf('input', prices)).toBeNull()
    expect(({} as Record<string, unknown>).inUsd).toBeUndefined()
  })
})

describe('configHash', () => {
  it('changes with what decides answers and not with secrets', async () => {
    const base = configHash(await load('port: 1'))
    expect(configHash(await load('port: 1\nlead-key: ${K}\n', { K: 'abc' }))).toBe(base)
    expect(configHash(await load('port: 2'))).not.toBe(base)
    expect(configHash(await load('port: 1\ntasks:\n  - {name: t}\n'))).not.toBe(base)
  })
})

describe('priceOf', () => {
  it('finds snapshots and provider prefixes, and guesses nothing', () => {
    expect(priceOf('gpt-4o-2024-08-06')).toEqual(priceOf('gpt-4o'))
    expect(priceOf('openai/gpt-4o-mini-2024-07-18')).toEqual(priceOf('gpt-4o-mini'))
    expect(priceOf('claude-sonnet-4-5-20250929')).toEqual(priceOf('claude-sonnet-4-5'))
    expect(priceOf('gpt-4o-audio-preview')).toBeNull()
    expect(priceOf('')).toBeNull()
  })
})
