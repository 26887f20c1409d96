/**
 * A lead that fails as the header `x-fault` tells it: resets, half-sent answers, slow bodies, errors, silence. In a storm it
 * answers nothing but 503, and it can be away altogether. The model `spare` never fails of itself.
 */
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Faults with their weights: a bit more than half of the requests meets none. */
export const FAULTS = [
  ['none', 60],
  ['reset', 5],
  ['reset-in-body', 5],
  ['half-stream', 6],
  ['slow-body', 5],
  ['error-500', 4],
  ['error-429', 3],
  ['error-503', 4],
  ['silent', 2],
  ['silent-in-body', 3],
  ['junk', 3],
]

const HEAD = { id: 'chatcmpl-fault', created: 1_700_000_000, model: 'faulty' }
const WORDS = Array.from({ length: 12 }, (_, i) => `word-${i} `)
const usage = { prompt_tokens: 30, completion_tokens: 12, total_tokens: 42 }
const wholeOf = () => {
  const message = { role: 'assistant', content: WORDS.join(''), refusal: null }
  const choices = [{ index: 0, message, logprobs: null, finish_reason: 'stop' }]
  return JSON.stringify({ ...HEAD, object: 'chat.completion', choices, usage })
}
const eventsOf = () =>
  [
    ...WORDS.map(content => ({ index: 0, delta: { content }, finish_reason: null })),
    { index: 0, delta: {}, finish_reason: 'stop' },
  ].map(
    choice =>
      `data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices: [choice] })}\n\n`,
  )

function refuse(response, status) {
  const error = { message: 'Not now.', type: 'server_error', param: null, code: 'not_now' }
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ error }))
}

async function answer(response, { fault, isStream }) {
  const status = /^error-(\d+)$/.exec(fault)?.[1]
  if (status !== undefined) return refuse(response, Number(status))
  if (fault === 'reset') return response.destroy()
  if (fault === 'silent') return
  if (fault === 'junk') return response.socket.end('SSH-2.0-OpenSSH_9.6\r\n\r\n')
  const parts = isStream ? [...eventsOf(), 'data: [DONE]\n\n'] : wholeOf().match(/.{1,60}/gs)
  response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' })
  const stopAt = ['reset-in-body', 'half-stream', 'silent-in-body'].includes(fault) ? 4 : Infinity
  for (const [i, part] of parts.entries()) {
    if (i === stopAt) break
    response.write(part)
    if (fault === 'slow-body') await sleep(150)
    else if (isStream) await sleep(2)
  }
  if (fault === 'silent-in-body') return
  if (stopAt < parts.length) return setTimeout(() => response.destroy(), 5)
  response.end()
}

/** `{ url, storm(ms), away(ms), requestCount, close }` */
export async function openFaultyLead() {
  let stormUntilMs = 0
  let requestCount = 0
  const server = createServer(async (request, response) => {
    requestCount++
    response.on('error', () => {})
    try {
      const parts = []
      for await (const part of request) parts.push(part)
      const body = JSON.parse(Buffer.concat(parts).toString('utf8'))
      if (performance.now() < stormUntilMs) return refuse(response, 503)
      const fault = body.model === 'spare' ? 'none' : (request.headers['x-fault'] ?? 'none')
      await answer(response, { fault, isStream: body.stream === true })
    } catch {
      response.destroy()
    }
  })
  server.keepAliveTimeout = 60_000
  const listen = port => new Promise(resolve => server.listen(port, '127.0.0.1', resolve))
  const leave = () =>
    new Promise(resolve => {
      server.close(resolve)
      server.closeAllConnections()
    })
  await listen(0)
  const { port } = server.address()
  return {
    url: `http://127.0.0.1:${port}/v1`,
    storm(ms) {
      stormUntilMs = performance.now() + ms
    },
    async away(ms) {
      await leave()
      await sleep(ms)
      await listen(port)
    },
    get requestCount() {
      return requestCount
    },
    close: leave,
  }
}
