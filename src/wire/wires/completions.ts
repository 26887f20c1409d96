/** Legacy text completions: captured, never learned from. */
import { addDelta } from '../accumulate.ts'
import { createChoicesFold } from '../fold.ts'
import { isObject } from '../json.ts'
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
  writtenField: 'choices',
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

function createTextFold(): StreamFold {
  return createChoicesFold<Record<string, unknown>>({
    open: () => ({ text: '' }),
    add: addDelta,
    isFinished: choice => choice.finish_reason != null,
    response: (head, choices, usage) => ({
      ...head,
      choices: choices.map(([, choice]) => choice),
      ...(usage === null ? {} : { usage }),
    }),
  })
}
