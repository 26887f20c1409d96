/** Makes an official npm client do a list of calls and tells what it understood of each. */
import Anthropic, { APIError as AnthropicError } from '@anthropic-ai/sdk'
import OpenAI, { APIError as OpenAiError } from 'openai'
import type { Call } from './calls.ts'
import type { Order } from './order.ts'

type Method = (args: unknown, options?: unknown) => Promise<unknown>

export async function npmClient({ client, baseUrl, headers, calls }: Order) {
  const options = { baseURL: baseUrl, apiKey: 'sk-caller', maxRetries: 0, defaultHeaders: headers }
  const opened = client === 'openai' ? new OpenAI(options) : new Anthropic(options)
  const understood: Record<string, unknown> = {}
  for (const call of calls) {
    understood[call.name] = JSON.parse(JSON.stringify(await MODES[call.mode](opened, call)))
  }
  return understood
}

type Opened = OpenAI | Anthropic

const MODES: Readonly<Record<Call['mode'], (client: Opened, call: Call) => Promise<unknown>>> = {
  async plain(client, { method, args }) {
    const result = await methodOf(client, method)(args)
    return method === 'models.list' ? (result as { data: unknown }).data : result
  },
  async stream(client, { method, args }) {
    const events: unknown[] = []
    const stream = await methodOf(client, method)(args)
    for await (const event of stream as AsyncIterable<unknown>) events.push(event)
    return events
  },
  async gather(client, { method, args }) {
    const stream = (await methodOf(client, method)(args)) as Record<string, () => unknown>
    return method.startsWith('responses') ? stream.finalResponse?.() : stream.finalMessage?.()
  },
  async fail(client, call) {
    try {
      const mode = call.args.stream === true ? 'stream' : 'plain'
      return { unexpected: await MODES[mode](client, call) }
    } catch (error) {
      if (!(error instanceof OpenAiError || error instanceof AnthropicError)) throw error
      const { status, message, error: body } = error
      return { class: error.constructor.name, status, message, body }
    }
  },
}

function methodOf(client: Opened, path: string): Method {
  const names = path.replace('count_tokens', 'countTokens').split('.')
  const name = names.pop() as string
  let owner: unknown = client
  for (const each of names) owner = (owner as Record<string, unknown> | undefined)?.[each]
  // This version does not know decisions yet; its general method does.
  if (owner === undefined) return args => client.post(`/${names.join('/')}`, { body: args })
  return args => (owner as Record<string, Method>)[name]?.(args) as Promise<unknown>
}
