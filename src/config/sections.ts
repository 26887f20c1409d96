/** The sections of the configuration file beside plain settings, as zod schemas. Knows neither files nor YAML. */
import { z } from 'zod'
import { parseDuration } from '../util/index.ts'

const name = z
  .string('must be text')
  .min(1, 'must not be empty')
  .max(100, 'must have at most 100 characters')

/** A name that stands in headers and logs as it is. */
const plainName = z
  .string('must be text')
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}$/u,
    'must be at most 100 letters, digits and . _ : / @ -',
  )

/** `10s`, `500ms`, `2m` or seconds as a number; read as milliseconds. */
function duration(maxMs: number, help: string) {
  const message = `must be a length of time such as 500ms, 10s or 2m, above 0 and at most ${maxMs / 1000}s`
  return z
    .union([z.string(), z.number()], message)
    .transform((value, context) => {
      const ms = typeof value === 'number' ? value * 1000 : parseDuration(value)
      if (ms !== null && ms > 0 && ms <= maxMs) return Math.max(1, Math.round(ms))
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    })
    .describe(help)
}

function count(min: number, max: number, help: string) {
  const message = `must be a whole number from ${min} to ${max}`
  return z.number(message).int(message).min(min, message).max(max, message).describe(help)
}

function amount(min: number, max: number, help: string) {
  const message = `must be a number from ${min} to ${max}`
  return z.number(message).min(min, message).max(max, message).describe(help)
}

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

const timeouts = z
  .strictObject(
    {
      connect: duration(60_000, 'Longest wait for a connection. Default 5s.').optional(),
      'first-token': duration(
        HOUR_MS,
        'Longest wait for the first byte of an answer. Default 10m.',
      ).optional(),
      idle: duration(HOUR_MS, 'Longest silence within an answer. Default 5m.').optional(),
      total: duration(
        DAY_MS,
        'Longest time for a whole answer, retries included. Default: none.',
      ).optional(),
    },
    'must be a table of connect, first-token, idle, total',
  )
  .describe('How long to wait for what.')

/** What a route may set; how long a connection may take belongs to the upstream. */
const routeTimeouts = z
  .strictObject(
    {
      'first-token': timeouts.shape['first-token'],
      idle: timeouts.shape.idle,
      total: timeouts.shape.total,
    },
    'must be a table of first-token, idle, total',
  )
  .describe('In place of those of its upstreams.')

const apiKind = z.enum(['openai', 'anthropic'], 'must be openai or anthropic')

const upstream = z
  .strictObject(
    {
      url: z
        .string('must be text')
        .min(1, 'must not be empty')
        .describe('Address of the API, with or without /v1; or replay:FILE, or local:MODEL.'),
      api: z
        .union(
          [apiKind, z.array(apiKind).min(1, 'must not be empty')],
          'must be openai, anthropic, or a list of both',
        )
        .describe('The API it speaks. Default: openai.')
        .optional(),
      'api-key': z
        .string('must be text')
        .min(1, 'must not be empty')
        .describe(`Its key, by substitution: \${NAME}.`)
        .optional(),
      timeouts: timeouts.optional(),
      retries: count(
        0,
        10,
        'Further tries after a failure that is safe to repeat. Default: 2.',
      ).optional(),
      breaker: z
        .strictObject(
          {
            failures: count(1, 1000, 'Failures in a row that open it. Default: 5.').optional(),
            'open-for': duration(
              HOUR_MS,
              'How long nothing is sent before one request tries again. Default: 10s.',
            ).optional(),
          },
          'must be a table of failures and open-for',
        )
        .describe('Stops sending to an upstream that keeps failing.')
        .optional(),
      health: z
        .strictObject(
          {
            path: z
              .string('must be text')
              .startsWith('/', 'must start with /')
              .describe('Asked by GET. Default: /v1/models.')
              .optional(),
            every: duration(HOUR_MS, 'Default: 10s.').optional(),
            timeout: duration(60_000, 'Default: 2s.').optional(),
          },
          'must be a table of path, every, timeout',
        )
        .describe(
          'Asks regularly whether it is there; without this section only real requests tell.',
        )
        .optional(),
      'max-concurrency': count(
        1,
        100_000,
        'Requests under way at once. Default: no limit.',
      ).optional(),
    },
    'must be a table that holds at least a url',
  )
  .describe('A server that models run on.')

const target = z.strictObject(
  {
    upstream: name.describe('Name of an upstream.'),
    model: name
      .describe('Name of the model there; default: the one that the caller names.')
      .optional(),
    weight: amount(
      0,
      1000,
      'Share of the requests, beside the others’. Default: 1; 0: only when the others fail.',
    ).optional(),
  },
  'must be a table of upstream, model, weight',
)

const cacheScope = z.enum(['key', 'route'], 'must be key or route')

const route = z
  .strictObject(
    {
      to: z
        .array(target, 'must be a list of targets')
        .min(1, 'must not be empty')
        .describe('One is chosen by weight among those in health.'),
      fallbacks: z
        .array(target, 'must be a list of targets')
        .describe('Tried in order when all of `to` fail.')
        .optional(),
      timeouts: routeTimeouts.optional(),
      cache: z
        .strictObject(
          {
            ttl: duration(30 * DAY_MS, 'How long an answer is kept. Default: 5m.').optional(),
            scope: cacheScope
              .describe('Who shares answers: each key has its own (default), or all of the route.')
              .optional(),
          },
          'must be a table of ttl and scope',
        )
        .describe('Gives the same answer to an equal request; off without this section.')
        .optional(),
    },
    'must be a table that holds at least `to`',
  )
  .describe('A model name that callers may use, and where it leads.')

const budget = z
  .strictObject(
    {
      usd: amount(0, 1e9, 'US dollars.'),
      per: z
        .enum(['day', 'week', 'month', 'total'], 'must be day, week, month or total')
        .describe('In UTC; weeks begin on Monday. Default: month.')
        .optional(),
    },
    'must be a table of usd and per',
  )
  .describe('Most that the lead’s answers to this key may cost.')

const moment = z
  .union([z.string(), z.date()], 'must be a date such as 2027-01-31')
  .transform((value, context) => {
    const ms = value instanceof Date ? value.getTime() : Date.parse(value)
    if (!Number.isNaN(ms)) return ms
    context.addIssue({
      code: 'custom',
      message: 'must be a date such as 2027-01-31 or 2027-01-31T12:00:00Z',
    })
    return z.NEVER
  })

/** What any virtual key may be allowed, in the file or over the API. */
export const keyLimits = {
  app: name.describe('The app it belongs to.').optional(),
  role: z
    .enum(['caller', 'operator', 'auditor'], 'must be caller, operator or auditor')
    .describe('Default: caller where it belongs to an app, else operator.')
    .optional(),
  models: z
    .array(name, 'must be a list of names')
    .min(1, 'must not be empty')
    .describe('Models and routes it may call; `*` at the end stands for anything. Default: all.')
    .optional(),
  'requests-per-minute': count(1, 1e9, 'Default: no limit.').optional(),
  'tokens-per-minute': count(1, 1e12, 'Default: no limit.').optional(),
  budget: budget.optional(),
  expires: moment.describe('From then on it is refused.').optional(),
}

const key = z.strictObject(
  {
    key: z
      .string('must be text')
      .min(8, 'must have at least 8 characters')
      .describe(`By substitution: \${NAME}.`),
    name: name.describe('Shown in place of the key. Default: the app.').optional(),
    ...keyLimits,
  },
  'must be a table that holds at least a key',
)

const price = z.strictObject({
  input: z
    .number('must be a number')
    .min(0, 'must not be negative')
    .describe('US dollars per million tokens.'),
  output: z
    .number('must be a number')
    .min(0, 'must not be negative')
    .describe('US dollars per million tokens.'),
})

const task = z.strictObject({
  name,
  match: z
    .strictObject({
      app: name.optional(),
      model: name.optional(),
      system: z.string('must be text').optional(),
    })
    .refine(match => Object.values(match).some(value => value !== undefined), {
      message:
        'must name an app, a model or a system text; without any it would match every request',
    })
    .optional(),
})

/** Sections by their names in the file. */
export const SECTIONS = {
  upstreams: z
    .record(plainName, upstream, 'must be a table of upstreams')
    .describe('Servers by name.')
    .optional(),
  routes: z
    .record(plainName, route, 'must be a table of routes')
    .describe('Model names that callers may use, beside those of the default upstream.')
    .optional(),
  keys: z
    .array(key, 'must be a list')
    .describe('Virtual keys that live in this file; others are made by `understudy key create`.')
    .optional(),
  cache: z
    .strictObject(
      {
        'max-mb': amount(
          0.001,
          65_536,
          'Memory for all answers kept, in MiB. Default: 64.',
        ).optional(),
        'max-answer-mb': amount(0.001, 1024, 'Largest answer kept, in MiB. Default: 1.').optional(),
      },
      'must be a table of max-mb and max-answer-mb',
    )
    .describe('Bounds of the response cache, which routes opt in to.')
    .optional(),
  tasks: z
    .array(task, 'must be a list')
    .describe('Tasks that requests are bound to by name.')
    .optional(),
  prices: z
    .record(z.string(), price, 'must be a table of models')
    .describe('Prices by model, over the built-in list.')
    .optional(),
}

export type UpstreamSection = z.infer<typeof upstream>
export type RouteSection = z.infer<typeof route>
export type KeySection = z.infer<typeof key>
