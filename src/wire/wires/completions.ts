/** Legacy text completions: captured, never learned from. */
import { addDelta } from '../accumulate.ts'
import { addHead } from '../fold.ts'
import { isObject, tryJson } from '../json.ts'
import { CHAT } from './chat.ts'
import { type Json, passedRequest, readEnvelope } from './translate.ts'
import type { StreamFold, Wire } from './wire.ts'

export const COMPLETIONS: Wire = {
  name: 'completions',
  path: '/v1/completions',
  parse: body => passedRequest(readEnvelope(body, 'a completions request')),
  createFold: createTextFold,
  closes: CHAT.closes,
  answerOf: (response, status) => CHAT.answerOf(asChat(response), status),
  usageOf: CHAT.usageOf,
  render: null,
  speech: null,
  error: CHAT.error,
  errorEvent: CHAT.errorEvent,
}

/** A text completion as the chat wire has it. */
function asChat(response: unknown): unknown {
  return isObject(response) && Array.isArray(response.choices) ? chatOf(response) : response
}

function chatOf(response: Json): Json {
  const choices = (response.choices as unknown[]).map(choice =>
    isObject(choice) ? { ...choice, message: { content: choice.text } } : choice,
  )
  return { ...response, choices }
}

/** More choices than the API gives. */
const MAX_CHOICES = 256

function createTextFold(): StreamFold {
  const choices = new Map<number, Record<string, unknown>>()
  let head: Record<string, unknown> | null = null
  let usage: unknown = null
  let error: Json | null = null
  let isDone = false
  const addChoice = (item: unknown): void => {
    if (!isObject(item)) return
    const index = typeof item.index === 'number' ? item.index : 0
    let choice = choices.get(index)
    if (choice === undefined) {
      if (choices.size >= MAX_CHOICES) return
      choice = { text: '' }
      choices.set(index, choice)
    }
    addDelta(choice, { ...item, index })
  }
  return {
    add({ data }) {
      if (data.trim() === '[DONE]') {
        isDone = true
        return
      }
      const chunk = tryJson(data)?.value
      if (!isObject(chunk)) return
      if (isObject(chunk.error)) error = chunk
      head = addHead(head ?? {}, chunk)
      if (isObject(chunk.usage)) usage = chunk.usage
      if (Array.isArray(chunk.choices)) for (const item of chunk.choices) addChoice(item)
    },
    result() {
      if (error !== null) return { response: error, isComplete: isDone }
      if (head === null) return { response: null, isComplete: isDone }
      const all = [...choices].sort(([a], [b]) => a - b).map(([, choice]) => choice)
      const isFinished = all.length > 0 && all.every(choice => choice.finish_reason != null)
      return {
        response: { ...head, choices: all, ...(usage === null ? {} : { usage }) },
        isComplete: isDone || isFinished,
      }
    },
  }
}
