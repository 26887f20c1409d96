/**
 * A lead that costs next to nothing, in a process of its own: answers a chat request after as many milliseconds as its
 * model says (`stub-0`, `stub-50`), streamed in four events where asked. Prints its address when ready.
 */
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

const head = { id: 'chatcmpl-stub', created: 1_700_000_000, model: 'stub' }
const completion = JSON.stringify({
  ...head,
  object: 'chat.completion',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'card_arrival', refusal: null },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 30, completion_tokens: 3, total_tokens: 33 },
})
const events = [
  [{ role: 'assistant', content: '' }, null],
  [{ content: 'card' }, null],
  [{ content: '_arrival' }, null],
  [{}, 'stop'],
].map(([delta, finish]) => {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }]
  return `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices })}\n\n`
})

const server = createServer(async (request, response) => {
  const parts = []
  for await (const part of request) parts.push(part)
  const body = JSON.parse(Buffer.concat(parts).toString('utf8'))
  const delayMs = Number(/^stub-(\d+)$/.exec(body.model)?.[1] ?? 0)
  if (delayMs > 0) await sleep(delayMs)
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
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`stub listens on http://127.0.0.1:${server.address().port}\n`)
})
