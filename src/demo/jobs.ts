/** The bank's applications: how each asks the lead, in which coat the answer comes, and how often. */
import type { Rng } from '../util/index.ts'
import type { Answer } from '../wire/index.ts'
import { composeComplaint } from './complaint.ts'
import { draftReply } from './drafting.ts'
import { INTENTS, QUEUES } from './intents.ts'
import { type Job, singleTurn } from './job.ts'
import { composeIntentMessage, composeMail } from './messages.ts'
import { composeChat, URGENCIES } from './urgency.ts'

const SMALL_LEAD = { model: 'gpt-4.1-mini', reportedModel: 'gpt-4.1-mini-2025-04-14' } as const
const BIG_LEAD = { model: 'gpt-4.1', reportedModel: 'gpt-4.1-2025-04-14' } as const

const text = (label: string): Answer => ({ kind: 'text', text: label })

const INTENT_LABELS = INTENTS.map(intent => intent.label).sort()
const INTENT_SYSTEM = `You route customer messages of Nordlicht Bank. Read the message and answer with exactly one of these labels and nothing else:\n${INTENT_LABELS.join(', ')}`

const intents: Job = {
  name: 'message intent',
  app: 'chat-widget',
  ...SMALL_LEAD,
  share: 0.285,
  expectation: 'learnable',
  labels: INTENT_LABELS,
  medianLatencyMs: 780,
  compose: composeIntentMessage,
  draft: message => ({
    ...message,
    body: { messages: singleTurn(INTENT_SYSTEM, message.text), temperature: 0, max_tokens: 16 },
    render: text,
  }),
}

const QUEUE_SYSTEM =
  'You are the mailroom of Nordlicht Bank. Decide which queue handles the e-mail. cards: plastic and PINs. payments: transfers, direct debits, refunds, exchange. accounts: balances, fees, statements, personal details, cash. digital: app and login. lending: loans, overdrafts, mortgages. fraud: payments the customer did not make. business: anything from or for a company account. other: everything else.'
const QUEUE_FORMAT = {
  type: 'json_schema',
  json_schema: {
    name: 'routing',
    strict: true,
    schema: {
      type: 'object',
      properties: { queue: { type: 'string', enum: [...QUEUES] } },
      required: ['queue'],
      additionalProperties: false,
    },
  },
}

const mail: Job = {
  name: 'e-mail queue',
  app: 'mailroom',
  ...SMALL_LEAD,
  share: 0.25,
  expectation: 'learnable',
  labels: [...QUEUES],
  medianLatencyMs: 1050,
  compose: composeMail,
  draft: message => ({
    ...message,
    body: {
      messages: singleTurn(QUEUE_SYSTEM, message.text),
      response_format: QUEUE_FORMAT,
      temperature: 0,
    },
    render: label => text(`{"queue":"${label}"}`),
  }),
}

const URGENCY_TOOL = {
  type: 'function',
  function: {
    name: 'set_urgency',
    description: 'Sets how fast a person must pick up this chat.',
    parameters: {
      type: 'object',
      properties: { urgency: { type: 'string', enum: [...URGENCIES] } },
      required: ['urgency'],
      additionalProperties: false,
    },
  },
}

const urgency: Job = {
  name: 'chat urgency',
  app: 'live-chat',
  ...SMALL_LEAD,
  share: 0.215,
  expectation: 'learnable',
  labels: [...URGENCIES],
  medianLatencyMs: 980,
  compose: composeChat,
  draft: message => ({
    ...message,
    body: {
      messages: singleTurn(
        'Judge how urgent the chat message is for the customer. low: can wait for weeks. normal: this week. high: today. critical: money is being lost right now.',
        message.text,
      ),
      tools: [URGENCY_TOOL],
      tool_choice: { type: 'function', function: { name: 'set_urgency' } },
      temperature: 0,
    },
    render: label => ({
      kind: 'tool',
      name: 'set_urgency',
      argumentsText: `{"urgency":"${label}"}`,
    }),
  }),
}

const complaint: Job = {
  name: 'complaint check',
  app: 'compliance',
  ...SMALL_LEAD,
  share: 0.18,
  expectation: 'learnable',
  labels: ['yes', 'no'],
  medianLatencyMs: 720,
  compose: composeComplaint,
  draft: message => ({
    ...message,
    body: {
      messages: singleTurn(
        'Is this message a complaint about the bank that must be registered? A question, a request or displeasure with somebody else is not a complaint. Answer yes or no.',
        message.text,
      ),
      temperature: 0,
      max_tokens: 3,
    },
    render: text,
  }),
}

/** Free text: the label is ignored, every answer is written anew. */
function freeAnswer(rng: Rng): () => Answer {
  const reply = draftReply(rng)
  return () => text(reply)
}

const drafting: Job = {
  name: 'reply drafts',
  app: 'agent-assist',
  ...BIG_LEAD,
  share: 0.04,
  expectation: 'leave-alone',
  labels: [],
  medianLatencyMs: 1900,
  compose: rng => ({ ...composeMail(rng), truth: null, rivals: [] }),
  draft: (message, rng) => ({
    ...message,
    body: {
      messages: singleTurn(
        'Draft a friendly, correct reply of Nordlicht Bank to this e-mail. Promise nothing that is not in the policy.',
        message.text,
      ),
      temperature: 0.7,
    },
    render: freeAnswer(rng),
  }),
}

const conversation: Job = {
  name: 'conversations',
  app: 'chat-widget',
  ...BIG_LEAD,
  share: 0.015,
  expectation: 'leave-alone',
  labels: [],
  medianLatencyMs: 1700,
  compose: rng => ({ ...composeIntentMessage(rng), truth: null, rivals: [] }),
  draft: (message, rng) => ({
    ...message,
    body: {
      messages: [
        { role: 'system', content: 'You are the assistant of Nordlicht Bank.' },
        { role: 'user', content: composeIntentMessage(rng).text },
        { role: 'assistant', content: draftReply(rng) },
        { role: 'user', content: message.text },
      ],
    },
    render: freeAnswer(rng),
  }),
}

/** The intent question about a photograph: the same labels, but a specialist that reads text cannot see it. */
const photograph: Job = {
  ...intents,
  name: 'photographs',
  share: 0.007,
  expectation: 'leave-alone',
  draft: (message, rng) => ({
    ...message,
    body: {
      messages: [
        { role: 'system', content: INTENT_SYSTEM },
        {
          role: 'user',
          content: [
            { type: 'text', text: message.text },
            { type: 'image_url', image_url: { url: `https://media.example/${rng.int(1e9)}.jpg` } },
          ],
        },
      ],
      temperature: 0,
      max_tokens: 16,
    },
    render: text,
  }),
}

const LOOKUP_TOOLS = ['find_transaction', 'book_callback'].map(name => ({
  type: 'function',
  function: {
    name,
    parameters: { type: 'object', properties: { query: { type: 'string' } }, required: ['query'] },
  },
}))

const freeTools: Job = {
  ...drafting,
  name: 'tool use',
  share: 0.008,
  medianLatencyMs: 1400,
  draft: (message, rng) => {
    const reply = draftReply(rng)
    const tool = rng.pick(['find_transaction', 'book_callback'])
    const usesTool = rng.next() < 0.6
    return {
      ...message,
      body: {
        messages: singleTurn('Help the agent. Use a tool when it helps.', message.text),
        tools: LOOKUP_TOOLS,
        tool_choice: 'auto',
      },
      render: () =>
        usesTool
          ? {
              kind: 'tool',
              name: tool,
              argumentsText: JSON.stringify({ query: message.text.slice(0, 60) }),
            }
          : text(reply),
    }
  },
}

/** Every application of the desk; the shares add up to 1. */
export const JOBS: readonly Job[] = [
  intents,
  mail,
  urgency,
  complaint,
  drafting,
  conversation,
  photograph,
  freeTools,
]
