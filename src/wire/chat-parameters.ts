/** What each parameter of a chat-completions request means for a specialist, as one table. Knows no messages. */
import { isObject } from './json.ts'
import type { RequestEscalation } from './types.ts'

/** Null where a specialist may answer in spite of this value. */
type Judge = (value: unknown, name: string) => RequestEscalation | null

const unknown: Judge = (_value, name) => ({ reason: 'unknown-parameter', parameter: name })

/** The value has no bearing on which of a closed set of answers is right, if its type is the documented one. */
const harmless =
  (...types: readonly ('number' | 'string' | 'boolean' | 'object')[]): Judge =>
  (value, name) =>
    (types as readonly string[]).includes(typeof value) ? null : unknown(value, name)

/** Harmless while it asks for nothing. */
const only =
  (isNothing: (value: unknown) => boolean, reason: RequestEscalation['reason']): Judge =>
  (value, name) =>
    isNothing(value) ? null : { reason, parameter: name }

const isEmptyObject = (value: unknown): boolean =>
  isObject(value) && Object.keys(value).length === 0
const isTextOnly = (value: unknown): boolean =>
  Array.isArray(value) && value.every(item => item === 'text')
const isPositiveInteger = (value: unknown): boolean => Number.isInteger(value) && Number(value) > 0
const isStop = (value: unknown): boolean =>
  typeof value === 'string' ||
  (Array.isArray(value) && value.every(item => typeof item === 'string'))

/** Read elsewhere: the request's own substance and the shape demanded of the answer. */
const readElsewhere: Judge = () => null

/**
 * Every known parameter. One that is missing here escalates, since it may change the answer.
 *
 * Sampling, penalties and effort change how the lead writes, not which answer of a closed set it means; the
 * certificate was measured against a lead that ran with them. `max_tokens` and `stop` cut an answer short: they are
 * compared with the answer once it is known (`limitBrokenBy`), because whole apps send them with every request.
 */
const PARAMETERS: Readonly<Record<string, Judge>> = {
  model: readElsewhere,
  messages: readElsewhere,
  response_format: readElsewhere,
  tools: readElsewhere,
  tool_choice: readElsewhere,
  functions: readElsewhere,
  function_call: readElsewhere,
  stream: readElsewhere,
  stream_options: readElsewhere,

  temperature: harmless('number'),
  top_p: harmless('number'),
  top_k: harmless('number'),
  min_p: harmless('number'),
  seed: harmless('number'),
  presence_penalty: harmless('number'),
  frequency_penalty: harmless('number'),
  repetition_penalty: harmless('number'),
  user: harmless('string'),
  metadata: harmless('object'),
  store: harmless('boolean'),
  service_tier: harmless('string'),
  parallel_tool_calls: harmless('boolean'),
  reasoning_effort: harmless('string'),
  verbosity: harmless('string'),
  prompt_cache_key: harmless('string'),
  prompt_cache_retention: harmless('string'),
  safety_identifier: harmless('string'),
  prediction: harmless('object'),
  max_tokens: only(isPositiveInteger, 'unknown-parameter'),
  max_completion_tokens: only(isPositiveInteger, 'unknown-parameter'),
  stop: only(isStop, 'unknown-parameter'),

  n: only(value => value === 1, 'several-choices-asked'),
  logprobs: only(value => value === false, 'logprobs-asked'),
  top_logprobs: only(value => value === 0, 'logprobs-asked'),
  modalities: only(isTextOnly, 'non-text-content'),
  audio: only(() => false, 'non-text-content'),
  logit_bias: only(isEmptyObject, 'unknown-parameter'),
  web_search_options: unknown,
}

/** Why the parameters of this body keep a specialist from answering. A null value counts as absent. */
export function parameterEscalations(body: Readonly<Record<string, unknown>>): RequestEscalation[] {
  const escalations: RequestEscalation[] = []
  for (const [name, value] of Object.entries(body)) {
    if (value === null || value === undefined) continue
    const judge = Object.hasOwn(PARAMETERS, name) ? (PARAMETERS[name] as Judge) : unknown
    const escalation = judge(value, name)
    if (escalation !== null) escalations.push(escalation)
  }
  return escalations
}
