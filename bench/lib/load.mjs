/** An HTTP client that measures: one request at a time, a closed loop, an open loop. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'

/**
 * A keep-alive client of one address. `chat` resolves when the last byte is there.
 * @returns {{ chat: Function, get: Function, json: Function, close: Function }}
 */
export function openClient(address, { connections = 1 } = {}) {
  const pool = new Pool(address, { connections, pipelining: 1 })
  const send = async (path, { method = 'GET', body, headers = {} } = {}) => {
    const response = await pool.request({
      path,
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return {
      status: response.statusCode,
      headers: response.headers,
      text: await response.body.text(),
    }
  }
  return {
    chat: ({ body, headers }) => send('/v1/chat/completions', { method: 'POST', body, headers }),
    json: async (path, options) => JSON.parse((await send(path, options)).text),
    close: () => pool.close(),
  }
}

/** A chat request with one user message; bound to a declared task where one is named. */
export function chatOf(text, { task, model = 'stub-0', stream = false } = {}) {
  return {
    body: { model, messages: [{ role: 'user', content: text }], ...(stream ? { stream } : {}) },
    headers: task === undefined ? {} : { 'x-understudy-task': task },
  }
}

/** Milliseconds of a call. */
export async function timed(call) {
  const startMs = performance.now()
  await call()
  return performance.now() - startMs
}

/**
 * Candidates take turns in blocks, so that a disturbance meets all of them. The first call of a block is not counted: it
 * finds the caches of the candidate before.
 * @param {Record<string, (i: number) => Promise<unknown>>} candidates
 * @returns milliseconds of every counted call, by candidate
 */
export async function sideBySide(candidates, { rounds, block = 6, warmUp = 20, pauseMs = 0 }) {
  const entries = Object.entries(candidates)
  const timesMs = Object.fromEntries(entries.map(([name]) => [name, []]))
  for (const [, call] of entries) for (let i = 0; i < warmUp; i++) await call(i)
  for (let round = 0; round < rounds; round++) {
    const turn = entries.map((_, i) => entries[(i + round) % entries.length])
    for (const [name, call] of turn) {
      for (let i = 0; i < block; i++) {
        const took = await timed(() => call(round * block + i))
        if (i > 0) timesMs[name].push(took)
      }
      if (pauseMs > 0) await sleep(pauseMs)
    }
  }
  return timesMs
}

/** As many requests at once as connections, each followed by the next, for a time. `{ perSecond, timesMs, failedCount }`. */
export async function closedLoop(call, { connections, seconds }) {
  const timesMs = []
  let failedCount = 0
  let next = 0
  const endMs = performance.now() + seconds * 1000
  const startMs = performance.now()
  const worker = async () => {
    while (performance.now() < endMs) {
      const sentMs = performance.now()
      const { status } = await call(next++)
      timesMs.push(performance.now() - sentMs)
      if (status !== 200) failedCount++
    }
  }
  await Promise.all(Array.from({ length: connections }, worker))
  const perSecond = (timesMs.length * 1000) / (performance.now() - startMs)
  return { perSecond, timesMs, failedCount }
}

/**
 * Requests at a fixed rate whatever becomes of them. Latency counts from the moment a request was due, so that a stall is
 * paid by all requests that fell into it.
 */
export async function openLoop(call, { perSecond, seconds }) {
  const timesMs = []
  const pending = []
  let failedCount = 0
  const startMs = performance.now()
  const total = perSecond * seconds
  for (let sent = 0; sent < total; ) {
    const dueMs = startMs + (sent * 1000) / perSecond
    const now = performance.now()
    if (now < dueMs) {
      await sleep(Math.max(0, Math.floor(dueMs - now)))
      continue
    }
    pending.push(
      call(sent).then(({ status }) => {
        timesMs.push(performance.now() - dueMs)
        if (status !== 200) failedCount++
      }),
    )
    sent++
  }
  await Promise.all(pending)
  return { timesMs, failedCount, perSecond: (total * 1000) / (performance.now() - startMs) }
}
