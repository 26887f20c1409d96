/** Embeddings: passed on and captured, or made here where the request names an encoder of this machine. */
import { isObject } from '../json.ts'
import type { Usage } from '../types.ts'
import { CHAT } from './chat.ts'
import { createEventsFold } from './events-fold.ts'
import { invalid, type Json, passedRequest, readEnvelope } from './translate.ts'
import type { Wire } from './wire.ts'

export const EMBEDDINGS: Wire = {
  name: 'embeddings',
  path: '/v1/embeddings',
  parse: body => ({
    ...passedRequest(readEnvelope(body, 'an embeddings request')),
    isStream: false,
  }),
  createFold: createEventsFold,
  closes: () => false,
  answerOf: () => ({ answer: null, reason: 'unreadable' }),
  usageOf,
  writtenField: null,
  render: null,
  speech: null,
  error: CHAT.error,
  errorEvent: CHAT.errorEvent,
}

function usageOf(response: unknown): Usage | null {
  const usage = isObject(response) ? response.usage : null
  const prompt = isObject(usage) ? usage.prompt_tokens : null
  return Number.isSafeInteger(prompt) ? { promptTokens: Number(prompt), completionTokens: 0 } : null
}

/** What an encoder of this machine is asked. */
export interface EmbeddingsRequest {
  readonly texts: readonly string[]
  readonly encoding: 'float' | 'base64'
}

/** Most texts of one request, as the API has it. */
const MAX_TEXTS = 2048

/**
 * Reads an embeddings request for an encoder of this machine: what it cannot do is refused, not ignored.
 * @throws request-invalid
 */
export function parseEmbeddingsRequest(body: Json, dimension: number): EmbeddingsRequest {
  const { input, encoding_format: format = 'float', dimensions } = body
  if (format !== 'float' && format !== 'base64' && format !== null) {
    throw invalid('encoding_format', '`encoding_format` is none.', 'Use float or base64.')
  }
  if (dimensions !== undefined && dimensions !== null && dimensions !== dimension) {
    throw invalid(
      'dimensions',
      `This encoder's embeddings have ${dimension} dimensions and cannot be shortened.`,
      `Leave \`dimensions\` out, or send ${dimension}.`,
    )
  }
  return { texts: textsOf(input), encoding: format === 'base64' ? 'base64' : 'float' }
}

function textsOf(input: unknown): readonly string[] {
  const texts: readonly unknown[] = Array.isArray(input) ? input : [input]
  if (texts.length === 0 || texts.length > MAX_TEXTS) {
    throw invalid('input', `\`input\` holds ${texts.length} texts.`, `Send 1 to ${MAX_TEXTS}.`)
  }
  if (texts.every(text => Number.isInteger(text) || Array.isArray(text))) {
    throw invalid('input', '`input` holds token numbers.', 'Send texts: tokens differ by model.')
  }
  for (const [index, text] of texts.entries()) {
    if (typeof text === 'string' && text !== '') continue
    const at = Array.isArray(input) ? `input[${index}]` : 'input'
    throw invalid(at, `\`${at}\` is no text, or an empty one.`, 'Send texts that say something.')
  }
  return texts as readonly string[]
}

/** Embeddings `[text, dimension]` as the API gives them. */
export function renderEmbeddings(
  embeddings: Float32Array,
  dimension: number,
  given: {
    readonly model: string
    readonly encoding: EmbeddingsRequest['encoding']
    readonly tokenCount: number
  },
): Json {
  const data = Array.from({ length: embeddings.length / dimension }, (_, index) => {
    const row = embeddings.subarray(index * dimension, (index + 1) * dimension)
    return {
      object: 'embedding',
      index,
      embedding: given.encoding === 'float' ? [...row] : base64(row),
    }
  })
  const usage = { prompt_tokens: given.tokenCount, total_tokens: given.tokenCount }
  return { object: 'list', data, model: given.model, usage }
}

/** Float32, little-endian whatever this machine is. */
function base64(row: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(row.length * 4))
  for (const [index, value] of row.entries()) bytes.setFloat32(index * 4, value, true)
  let text = ''
  for (let at = 0; at < bytes.byteLength; at++) text += String.fromCharCode(bytes.getUint8(at))
  return btoa(text)
}
