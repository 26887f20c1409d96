/** Upstreams, routes, keys and substitution in the configuration file: what is read, and what is refused how. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isUnderstudyError } from '../errors.ts'
import { configHash, loadConfig } from './load.ts'
import { configJsonSchema } from './schema.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'understudy-routing-'))
})
afterEach(() => rm(dataDir, { recursive: true }))

async function load(yaml: string, env: Record<string, string> = {}) {
  await writeFile(join(dataDir, 'understudy.yaml'), yaml)
  return loadConfig({ dataDir, env })
}

async function failure(yaml: string, env: Record<string, string> = {}): Promise<string> {
  const error = await load(yaml, env).catch((thrown: unknown) => thrown)
  if (!isUnderstudyError(error) || error.code !== 'config-invalid') throw error
  return `${error.message.replace(`${dataDir}/`, '')} | ${error.help}`
}

const WHOLE = `
lead: hosted
upstreams:
  hosted:
    url: https://api.example/v1
    api-key: \${HOSTED_KEY}
    timeouts: {connect: 500ms, first-token: 20, total: 2m}
    retries: \${RETRIES:-3}
    breaker: {failures: 2, open-for: 1s}
    health: {every: 30s}
    max-concurrency: 8
  here:
    url: http://127.0.0.1:11434/v1
    api: [openai, anthropic]
routes:
  support-fast:
    to:
      - {upstream: hosted, model: gpt-4o-mini, weight: 3}
      - {upstream: here}
    fallbacks:
      - {upstream: here, model: qwen3}
    timeouts: {first-token: 5s}
    cache: {ttl: 1h, scope: route}
keys:
  - key: \${DESK_KEY}
    app: desk
    models: [support-*]
    requests-per-minute: 60
    tokens-per-minute: 10000
    budget: {usd: 12.5, per: day}
    expires: 2027-01-31
cache: {max-mb: 2}
`
const ENV = { HOSTED_KEY: 'sk-hosted', DESK_KEY: 'secret-desk' }

describe('upstreams and routes', () => {
  it('are read with every default filled in', async () => {
    const { upstreams, routes, cache, keys } = await load(WHOLE, ENV)
    expect(upstreams).toEqual([
      {
        name: 'hosted',
        url: 'https://api.example/v1',
        apis: ['openai'],
        apiKey: 'sk-hosted',
        timeouts: { connectMs: 500, firstTokenMs: 20_000, idleMs: 300_000, totalMs: 120_000 },
        retryCount: 3,
        breaker: { failureCount: 2, openMs: 1_000 },
        health: { path: '/v1/models', everyMs: 30_000, timeoutMs: 2_000 },
        maxConcurrency: 8,
      },
      {
        name: 'here',
        url: 'http://127.0.0.1:11434/v1',
        apis: ['openai', 'anthropic'],
        apiKey: null,
        timeouts: { connectMs: 5_000, firstTokenMs: 600_000, idleMs: 300_000, totalMs: null },
        retryCount: 2,
        breaker: { failureCount: 5, openMs: 10_000 },
        health: null,
        maxConcurrency: null,
      },
    ])
    expect(routes).toEqual([
      {
        name: 'support-fast',
        targets: [
          { upstream: 'hosted', model: 'gpt-4o-mini', weight: 3 },
          { upstream: 'here', model: null, weight: 1 },
        ],
        fallbacks: [{ upstream: 'here', model: 'qwen3', weight: 1 }],
        timeouts: { firstTokenMs: 5_000 },
        cache: { ttlMs: 3_600_000, scope: 'route' },
      },
    ])
    expect(cache).toEqual({ maxBytes: 2 * 2 ** 20, maxAnswerBytes: 2 ** 20 })
    expect(keys).toEqual([
      {
        key: 'secret-desk',
        name: 'desk',
        role: 'caller',
        app: 'desk',
        models: ['support-*'],
        requestsPerMinute: 60,
        tokensPerMinute: 10_000,
        budget: { usd: 12.5, per: 'day' },
        expiresMs: Date.UTC(2027, 0, 31),
      },
    ])
  })

  it('change the hash of the configuration; their keys do not', async () => {
    const base = configHash(await load(WHOLE, ENV))
    expect(configHash(await load(WHOLE, { ...ENV, HOSTED_KEY: 'sk-other' }))).toBe(base)
    expect(configHash(await load(WHOLE.replace('weight: 3', 'weight: 2'), ENV))).not.toBe(base)
  })

  it.each([
    ['upstreams:\n  a: {}', 'line 2, column 6: upstreams.a.url is missing'],
    [
      'upstreams:\n  a: {url: "http://x", retires: 1}',
      "upstreams.a.retires'. | did you mean 'retries'?",
    ],
    ['upstreams:\n  a: {url: "http://x", timeouts: {idel: 1s}}', "did you mean 'idle'?"],
    [
      'upstreams:\n  a: {url: "http://x", timeouts: {idle: soon}}',
      'timeouts.idle must be a length of time',
    ],
    ['upstreams:\n  a: {url: "http://x", timeouts: {idle: 0}}', 'above 0'],
    ['upstreams:\n  a: {url: "http://x", timeouts: {idle: 99999d}}', 'at most 3600s'],
    [
      'upstreams:\n  a: {url: "http://x", api: gemini}',
      'line 2, column 29: upstreams.a.api must be openai, anthropic, or a list of both',
    ],
    ['upstreams:\n  a: {url: "http://x", retries: 11}', 'must be a whole number from 0 to 10'],
    [
      'upstreams:\n  a: {url: "http://x", api-key: sk-literal}',
      'upstreams.a.api-key holds a secret as it is',
    ],
    ['upstreams:\n  "a\\nb": {url: "http://x"}', 'is no name'],
    [
      'upstreams:\n  __proto__: {url: "http://x"}',
      "line 2, column 3: there is no setting 'upstreams.__proto__'",
    ],
    ['upstreams: [a]', 'upstreams must be a table of upstreams'],
    [
      'upstreams:\n  hosted: {url: "http://x"}\nroutes:\n  r: {to: [{upstream: hostde}]}',
      "line 4, column 23: routes.r.to.0.upstream names 'hostde', and there is no such upstream; did you mean 'hosted'?",
    ],
    ['routes:\n  r: {to: [{upstream: a}]}', 'no such upstream, only none'],
    ['routes:\n  r: {to: []}', 'routes.r.to must not be empty'],
    ['routes:\n  r: {}', 'routes.r.to'],
    [
      'upstreams:\n  a: {url: "http://x"}\nroutes:\n  r: {to: [{upstream: a, weight: 0}]}',
      'routes.r.to must have a target of a weight above 0',
    ],
    ['routes:\n  r: {to: [{upstream: a, weigth: 1}]}', "did you mean 'weight'?"],
    ['keys:\n  - {key: literal-secret}', 'keys.0.key holds a secret as it is'],
    ['keys:\n  - {key: "${SECRET_TEXT}", role: root}', 'must be caller, operator or auditor'],
    ['keys:\n  - {key: "${SECRET_TEXT}", expires: whenever}', 'keys.0.expires must be a date'],
    ['keys:\n  - {key: "${SECRET_TEXT}", budget: {usd: -1}}', 'budget.usd must be a number from 0'],
    [
      'keys:\n  - {key: "${SECRET_TEXT}", name: a}\n  - {key: "${SECRET_TEXT}", name: a}',
      "'a' is declared twice",
    ],
  ])('refuses %j', async (yaml, message) => {
    const said = await failure(yaml, { SECRET_TEXT: 'never-show-this' })
    expect(said).toContain(message)
    expect(said).not.toContain('never-show-this')
    expect(said).not.toContain('sk-literal')
    expect(said).not.toContain('literal-secret')
  })
})

describe('substitution', () => {
  it('names the variable that is not set, with its place', async () => {
    expect(await failure('port: 1\nlead: "http://${HOST_NAME}/v1"')).toBe(
      'understudy.yaml line 2, column 7: lead needs the environment variable HOST_NAME, which is not set. | set HOST_NAME, or write ${HOST_NAME:-DEFAULT}.',
    )
  })

  it('happens within values, once, and neither in keys nor in what it brought', async () => {
    const yaml = [
      'lead: "http://${H}:${P:-80}/v1"',
      'port: ${PORT}',
      'tasks:',
      '  - {name: "$${H} ${NESTED} $H"}',
    ].join('\n')
    const { settings, tasks } = await load(yaml, { H: 'h', PORT: '8080', NESTED: '${H}' })
    expect(settings).toMatchObject({ lead: 'http://h:80/v1', port: 8080 })
    expect(tasks[0]?.name).toBe('${H} ${H} $H')
  })

  it('keeps YAML out of values: what it brings is text', async () => {
    const said = await failure('host: ${EVIL}\nport: ${EVIL}', { EVIL: '1\nlead: http://evil' })
    expect(said).toContain('port must be a whole number')
  })
})

it('has a JSON Schema that knows every section and needs no secret', () => {
  const { properties, additionalProperties } = configJsonSchema() as {
    properties: Record<string, { description?: string }>
    additionalProperties: boolean
  }
  expect(additionalProperties).toBe(false)
  expect(Object.keys(properties)).toEqual(
    expect.arrayContaining(['lead', 'upstreams', 'routes', 'keys', 'cache', 'tasks', 'prices']),
  )
  for (const [name, { description }] of Object.entries(properties)) {
    expect(description, name).toBeTruthy()
  }
})
