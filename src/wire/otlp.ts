/** Spans in the JSON of OTLP, and what OpenTelemetry's conventions for generative AI call the parts of a chat. */
import { isObject } from './json.ts'
import type { Usage } from './types.ts'
import type { WireName } from './wires/wire.ts'

export type SpanValue = string | number | boolean | readonly string[]

/** One finished span of kind server. */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | null
  readonly name: string
  /** Milliseconds since the Unix epoch. */
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Readonly<Record<string, SpanValue>>
  /** What failed; null where nothing did. */
  readonly error: string | null
}

const KIND_SERVER = 2
const STATUS_ERROR = 2

/** The body of `POST /v1/traces`. */
export function otlpTraces(
  spans: readonly Span[],
  {
    serviceName,
    resource,
  }: { readonly serviceName: string; readonly resource: Readonly<Record<string, string>> },
): object {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributesOf({ ...resource, 'service.name': serviceName }) },
        scopeSpans: [{ scope: { name: 'understudy' }, spans: spans.map(spanBody) }],
      },
    ],
  }
}

function spanBody(span: Span): object {
  const { traceId, spanId, parentSpanId, name, startMs, endMs, attributes, error } = span
  return {
    traceId,
    spanId,
    ...(parentSpanId === null ? {} : { parentSpanId }),
    name,
    kind: KIND_SERVER,
    startTimeUnixNano: nanoseconds(startMs),
    endTimeUnixNano: nanoseconds(endMs),
    attributes: attributesOf(attributes),
    status: error === null ? {} : { code: STATUS_ERROR, message: error },
  }
}

/** Too large for a number that JSON readers keep whole. */
function nanoseconds(ms: number): string {
  return (BigInt(Math.round(ms * 1000)) * 1000n).toString()
}

function attributesOf(values: Readonly<Record<string, SpanValue>>): object[] {
  return Object.entries(values).map(([key, value]) => ({ key, value: wrapped(value) }))
}

function wrapped(value: SpanValue): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  }
  return { arrayValue: { values: value.map(item => ({ stringValue: item })) } }
}

const OPERATIONS: Partial<Record<WireName, string>> = {
  completions: 'text_completion',
  embeddings: 'embeddings',
}

/** `gen_ai.operation.name` of a wire's requests. */
export function genAiOperation(wire: WireName | null): string {
  return (wire === null ? undefined : OPERATIONS[wire]) ?? 'chat'
}

/** Attributes of a request and its answer by the conventions for generative AI: no texts, no tool arguments. */
export function genAiAttributes(
  wire: WireName | null,
  { request, response, usage }: { request: unknown; response: unknown; usage: Usage | null },
): Record<string, SpanValue> {
  const found: Record<string, SpanValue> = { 'gen_ai.operation.name': genAiOperation(wire) }
  const put = (name: string, value: unknown): void => {
    if (typeof value === 'string' ? value !== '' : Number.isFinite(value)) {
      found[name] = value as string | number
    }
  }
  if (isObject(request)) {
    put('gen_ai.request.model', request.model)
    const { max_completion_tokens: most, max_output_tokens: mostOut } = request
    put('gen_ai.request.max_tokens', most ?? mostOut ?? request.max_tokens)
    put('gen_ai.request.temperature', request.temperature)
    put('gen_ai.request.top_p', request.top_p)
    put('gen_ai.request.seed', request.seed)
  }
  if (isObject(response)) {
    put('gen_ai.response.id', response.id)
    put('gen_ai.response.model', response.model)
    const choices = Array.isArray(response.choices) ? response.choices : []
    const reasons = choices.flatMap(choice =>
      isObject(choice) && typeof choice.finish_reason === 'string' ? [choice.finish_reason] : [],
    )
    if (reasons.length > 0) found['gen_ai.response.finish_reasons'] = reasons
  }
  put('gen_ai.usage.input_tokens', usage?.promptTokens)
  put('gen_ai.usage.output_tokens', usage?.completionTokens)
  return found
}
