/**
 * OpenAI decisions: typed questions about one input, answered by probabilities. Captured and passed on. A specialist's
 * certificate bounds how often its label differs; it says nothing of a probability for every option, which is what these
 * answers consist of. See docs/decisions/2026-11-27-wires.md.
 */
import { isObject } from '../json.ts'
import type { AnswerOrReason, NoAnswerReason } from '../types.ts'
import { CHAT } from './chat.ts'
import { createEventsFold } from './events-fold.ts'
import { RESPONSES } from './responses.ts'
import { invalid, passedRequest, readEnvelope } from './translate.ts'
import type { Wire } from './wire.ts'

export const DECISIONS: Wire = {
  name: 'decisions',
  path: '/v1/decisions',
  parse(body) {
    const fields = readEnvelope(body, 'a decisions request')
    // Another form of the same path asks by an object of questions about a `state`.
    if (!Array.isArray(fields.questions) && !isObject(fields.questions)) {
      throw invalid('questions', '`questions` is missing.', 'Send a list of questions.')
    }
    return { ...passedRequest(fields), isStream: false }
  },
  createFold: createEventsFold,
  closes: () => false,
  answerOf,
  usageOf: RESPONSES.usageOf,
  writtenField: 'answers',
  render: null,
  speech: null,
  error: CHAT.error,
  errorEvent: CHAT.errorEvent,
}

const none = (reason: NoAnswerReason): AnswerOrReason => ({ answer: null, reason })

/** The value chosen, where exactly one question was asked and it was a choice. */
function answerOf(response: unknown, status: number): AnswerOrReason {
  if (status < 200 || status > 299) return none('error-status')
  if (!isObject(response) || !Array.isArray(response.answers)) return none('unreadable')
  if (response.answers.length > 1) return none('several-choices')
  const [answer] = response.answers
  if (!isObject(answer)) return none('empty')
  if (answer.type === 'refusal') return none('refused')
  if (answer.type !== 'choice' || typeof answer.choice !== 'string') return none('unreadable')
  return { answer: { kind: 'text', text: answer.choice } }
}
