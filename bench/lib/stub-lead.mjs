/**
 * A lead that costs next to nothing, in a process of its own: answers a chat request after as many milliseconds as its
 * model says (`stub-0`, `stub-50`), with about as many bytes as it says next (`stub-0-2000`), streamed in four events
 * where asked; `stub-hold-N` streams one event every N milliseconds for as long as the caller stays. Prints its address
 * when ready.
 */
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

const head = { id: 'chatcmpl-stub', created: 1_700_000_000, model: 'stub' }
const completionOf = content =>
  JSON.stringify({
    ...head,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: { prompt_tokens: 30, completion_tokens: 3, total_tokens: 33 },
  })
const eventOf = (delta, finish) => {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }]
  return `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices })}\n\n`
}
const eventsOf = words => [
  eventOf({ role: 'assistant', content: '' }, null),
  ...words.map(content => eventOf({ content }, null)),
  eventOf({}, 'stop'),
]

/** Answers by size, made once: the stub must not be what is measured. */
const answers = new Map()
function answerOf(bytes) {
  if (!answers.has(bytes)) {
    const padding = 'x'.repeat(Math.max(0, bytes - completionOf('').length))
    const half = Math.ceil(padding.length / 2)
    const words = bytes === 0 ? ['card', '_arrival'] : [padding.slice(0, half), padding.slice(half)]
    answers.set(bytes, { completion: completionOf(words.join('')), events: eventsOf(words) })
  }
  return answers.get(bytes)
}

async function hold(response, everyMs) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const event = eventOf({ content: 'still here ' }, null)
  response.write(event)
  const timer = setInterval(() => response.write(event), everyMs)
  response.once('close', () => clearInterval(timer))
}

const server = createServer(async (request, response) => {
  const parts = []
  for await (const part of request) parts.push(part)
  const body = JSON.parse(Buffer.concat(parts).toString('utf8'))
  const held = /^stub-hold-(\d+)$/.exec(body.model)
  if (held !== null) return hold(response, Number(held[1]))
  const [, delayMs = 0, bytes = 0] = /^stub-(\d+)(?:-(\d+))?$/.exec(body.model) ?? []
  const { completion, events } = answerOf(Number(bytes))
  if (Number(delayMs) > 0) await sleep(Number(delayMs))
  if (body.stream !== true) {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(completion)
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const event of events) response.write(event)
  response.end('data: [DONE]\n\n')
})
server.keepAliveTimeout = 60_000
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  process.stdout.write(`stub listens on http://127.0.0.1:${server.address().port}\n`)
})
