/**
 * A lead that speaks chat completions only, as a caller of another wire sees it: the request is said as a chat completion,
 * the answer is said back as it comes. What chat has no words for is refused by name, never dropped.
 */
import { UnderstudyError } from '../errors.ts'
import type { Lead, LeadRequest } from '../runtimes/index.ts'
import {
  CHAT_PATH,
  type ChatRequest,
  chatBodyOf,
  completionIn,
  createSaying,
  createSseParser,
  isObject,
  type Speech,
  type SpeechHead,
  tryJson,
} from '../wire/index.ts'
import { isEventStream, isPlainEncoding } from './relay.ts'
import type { Turn } from './turn.ts'

interface TranslatedLeadOptions {
  readonly speech: Speech
  readonly request: ChatRequest
  readonly head: SpeechHead
  /** Largest plain answer that is translated. */
  readonly maxBytes: number
}

/**
 * The lead itself, or what makes it understand this request.
 * @throws request-invalid where it asks for what chat completions have no place for
 */
export function leadFor(
  lead: Lead,
  turn: Pick<Turn, 'wire' | 'request' | 'id' | 'startedMs'>,
  maxBytes: number,
): Lead {
  const { wire, request, id, startedMs } = turn
  const isSpoken = lead.speaks?.(wire.path, request.model) ?? true
  if (isSpoken || wire.speech === null) return lead
  const head = {
    id: id.slice(id.indexOf('_') + 1),
    created: Math.floor(startedMs / 1000),
    model: request.model,
  }
  return translatedLead(lead, { speech: wire.speech, request, head, maxBytes })
}

/** For one request. */
function translatedLead(lead: Lead, options: TranslatedLeadOptions): Lead {
  const { speech, request, head, maxBytes } = options
  const [lost] = request.lost
  if (lost !== undefined) {
    throw new UnderstudyError(
      'request-invalid',
      `The lead speaks chat completions only, and those have no place for \`${lost}\`.`,
      {
        help: 'Leave it out, or use a lead that speaks this API itself.',
        details: { param: lost },
      },
    )
  }
  return {
    name: lead.name,
    close: async () => {},
    async send(given) {
      const response = await lead.send(chatRequest(given, request))
      const { 'content-length': _, ...headers } = response.headers
      if (!isPlainEncoding(headers['content-encoding'])) {
        await response.body[Symbol.asyncIterator]().return?.()
        throw unreadable('is compressed, though plain was asked for')
      }
      if (isEventStream(headers) && response.status === 200) {
        return { ...response, headers, body: saidStream(response.body, options) }
      }
      const body = await readJson(response.body, maxBytes)
      const said =
        response.status >= 400
          ? speech.error(response.status, body ?? {})
          : speech.body(completionIn(body), head, request)
      const bytes = new TextEncoder().encode(JSON.stringify(said))
      return {
        ...response,
        headers: { ...headers, 'content-type': 'application/json' },
        body: once(bytes),
      }
    },
  }
}

function chatRequest(given: LeadRequest, request: ChatRequest): LeadRequest {
  const { 'x-api-key': key, ...headers } = given.headers
  return {
    ...given,
    path: CHAT_PATH,
    headers: {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
      'content-type': 'application/json',
    },
    body: new TextEncoder().encode(JSON.stringify(chatBodyOf(request))),
  }
}

async function* saidStream(
  body: AsyncIterable<Uint8Array>,
  { speech, head, request }: TranslatedLeadOptions,
): AsyncGenerator<Uint8Array> {
  const parser = createSseParser()
  const saying = createSaying(speech, head, request)
  const encoder = new TextEncoder()
  for await (const part of body) {
    const said = parser.push(part).map(({ data }) => saying.event(data))
    const text = said.join('')
    if (text !== '') yield encoder.encode(text)
  }
  const rest = parser.end().map(({ data }) => saying.event(data))
  yield encoder.encode(rest.join('') + saying.end())
}

function unreadable(what: string): UnderstudyError {
  return new UnderstudyError('upstream-invalid', `The lead's answer ${what}.`, {
    help: 'Check that its address leads to an OpenAI-compatible API.',
  })
}

/** Null where it is no JSON object. */
async function readJson(body: AsyncIterable<Uint8Array>, maxBytes: number) {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body) {
    length += part.length
    if (length > maxBytes) throw unreadable(`is larger than ${maxBytes} bytes`)
    parts.push(part)
  }
  const value = tryJson(new TextDecoder().decode(Buffer.concat(parts)))?.value
  return isObject(value) ? value : null
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
