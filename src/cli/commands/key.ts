/** `understudy key …`: virtual keys, over the public API. */
import { isObject } from '../../wire/index.ts'
import { numberOption, textOption } from '../args.ts'
import { type Client, connect, requestJson } from '../client.ts'
import type { Command, CommandInput, Terminal } from '../command.ts'
import { configOption, dataFolder, dataOption, jsonOption } from '../options.ts'
import { renderTable } from '../table.ts'

const KEYS = '/understudy/v1/keys'

const idPositional = {
  placeholder: 'KEY',
  help: 'name or id of the key, as `understudy key list` shows it.',
  min: 1,
  max: 1,
} as const

const createCommand: Command = {
  name: 'key create',
  summary: 'Make a virtual key; its token is printed once, and nowhere kept.',
  positionals: { placeholder: 'NAME', help: 'name to know the key by.', min: 1, max: 1 },
  options: [
    dataOption,
    configOption,
    {
      name: 'role',
      type: 'string',
      placeholder: 'ROLE',
      help: 'caller (default): models; auditor: reads the gateway’s own API; operator: everything.',
    },
    { name: 'app', type: 'string', placeholder: 'APP', help: 'App that its requests belong to.' },
    {
      name: 'model',
      type: 'string[]',
      placeholder: 'MODEL',
      help: 'Model or route it may call, * at the end for anything; may be repeated (default: all).',
    },
    { name: 'rpm', type: 'string', placeholder: 'N', help: 'Most requests per minute.' },
    { name: 'tpm', type: 'string', placeholder: 'N', help: 'Most tokens per minute.' },
    { name: 'budget', type: 'string', placeholder: 'USD', help: 'Most US dollars per period.' },
    {
      name: 'per',
      type: 'string',
      placeholder: 'PERIOD',
      help: 'Period of the budget: day, week, month (default) or total.',
    },
    {
      name: 'expires',
      type: 'string',
      placeholder: 'DATE',
      help: 'Date from which it is refused, such as 2027-01-31.',
    },
    jsonOption,
  ],
  examples: ['understudy key create ops --role operator'],
  async run(input, terminal) {
    const budget = numberOption(input, 'budget', { min: 0, example: 10 })
    const models = input.options.model as readonly string[]
    const body = {
      name: input.positionals[0],
      role: textOption(input, 'role'),
      app: textOption(input, 'app'),
      ...(models.length === 0 ? {} : { models }),
      requestsPerMinute: numberOption(input, 'rpm', { min: 1 }),
      tokensPerMinute: numberOption(input, 'tpm', { min: 1 }),
      ...(budget === undefined ? {} : { budget: { usd: budget, per: textOption(input, 'per') } }),
      expires: textOption(input, 'expires'),
    }
    const made = await call(input, terminal, client => requestJson(client, KEYS, post(body)))
    showToken(input, terminal, made, 'Keep it: it is not shown again.')
    return 0
  },
}

const listCommand: Command = {
  name: 'key list',
  summary: 'List the virtual keys and what each used.',
  options: [dataOption, configOption, jsonOption],
  examples: ['understudy key list', 'understudy key list --json'],
  async run(input, terminal) {
    const list = await call(input, terminal, client => requestJson(client, KEYS))
    const rows = isObject(list) && Array.isArray(list.data) ? list.data.filter(isObject) : []
    terminal.out(input.options.json === true ? `${JSON.stringify(list, null, 2)}\n` : table(rows))
    return 0
  },
}

const rotateCommand: Command = {
  name: 'key rotate',
  summary: 'Give a key a new token; the old one stays good for a while.',
  positionals: idPositional,
  options: [
    dataOption,
    configOption,
    {
      name: 'grace',
      type: 'string',
      placeholder: 'TIME',
      help: 'How long the old token stays good: 24h by default, 0s to end it at once.',
    },
    jsonOption,
  ],
  examples: ['understudy key rotate ops --grace 1h'],
  async run(input, terminal) {
    const grace = textOption(input, 'grace') ?? '24h'
    const made = await call(input, terminal, client =>
      requestJson(client, `${KEYS}/${idOf(input)}/rotate`, post({ grace })),
    )
    showToken(input, terminal, made, `The old one stays good for ${grace}.`)
    return 0
  },
}

const revokeCommand: Command = {
  name: 'key revoke',
  summary: 'Refuse a key from now on.',
  positionals: idPositional,
  options: [dataOption, configOption, jsonOption],
  examples: ['understudy key revoke ops'],
  async run(input, terminal) {
    const key = await call(input, terminal, client =>
      requestJson(client, `${KEYS}/${idOf(input)}`, { method: 'DELETE' }),
    )
    terminal.out(
      input.options.json === true
        ? `${JSON.stringify(key, null, 2)}\n`
        : `${isObject(key) ? key.name : ''} is refused from now on.\n`,
    )
    return 0
  },
}

/** In the order of `understudy --help`. */
export const keyCommands: readonly Command[] = [
  createCommand,
  listCommand,
  rotateCommand,
  revokeCommand,
]

async function call<T>(
  input: CommandInput,
  terminal: Terminal,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connect({
    dataDir: dataFolder(input, terminal),
    env: terminal.env,
    configFile: textOption(input, 'config'),
  })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

function post(body: unknown): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
}

function idOf({ positionals }: CommandInput): string {
  return encodeURIComponent(positionals[0] ?? '')
}

/** The token alone goes to standard output, so that a script can take it. */
function showToken(input: CommandInput, terminal: Terminal, made: unknown, notice: string): void {
  if (input.options.json === true) {
    terminal.out(`${JSON.stringify(made, null, 2)}\n`)
    return
  }
  terminal.out(`${isObject(made) ? made.token : ''}\n`)
  terminal.err(`${notice}\n`)
}

type Row = Readonly<Record<string, unknown>>

function table(rows: readonly Row[]): string {
  if (rows.length === 0) return 'no keys: every caller is let in\n'
  const cells = rows.map(row => [
    String(row.name),
    String(row.id),
    String(row.role),
    Array.isArray(row.models) ? row.models.join(', ') : 'all',
    limits(row),
    stateOf(row),
    used(row),
  ])
  return renderTable(
    ['name', 'id', 'role', 'models', 'limits', 'state', 'used'].map(title => ({ title })),
    cells,
  )
}

function limits({ requestsPerMinute, tokensPerMinute, budget }: Row): string {
  return [
    requestsPerMinute === null ? null : `${requestsPerMinute} rpm`,
    tokensPerMinute === null ? null : `${tokensPerMinute} tpm`,
    isObject(budget) ? `$${budget.usd} per ${budget.per}` : null,
  ]
    .filter(text => text !== null)
    .join(', ')
}

function stateOf({ revokedTime, expiresTime }: Row): string {
  if (typeof revokedTime === 'string') return `revoked ${revokedTime.slice(0, 10)}`
  return typeof expiresTime === 'string' ? `until ${expiresTime.slice(0, 10)}` : 'good'
}

function used({ usage }: Row): string {
  const total = isObject(usage) ? (usage.period ?? usage.total) : null
  if (!isObject(total)) return ''
  const tokens = Number(total.promptTokens) + Number(total.completionTokens)
  return `${total.requestCount} requests, ${tokens} tokens, $${Number(total.usd).toFixed(4)}`
}
