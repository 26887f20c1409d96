/** Bare sockets for security tests: bytes into a port, and a lead that records what it gets and answers any bytes. */
import { connect, createServer, type Socket } from 'node:net'

/**
 * Sends bytes and resolves with all that comes back, as Latin-1, once the other side closes or is silent for `quietMs`.
 * Parts go out one after another, so that they arrive apart.
 */
export async function sendRaw(
  address: string,
  parts: string | readonly string[],
  { quietMs = 3_000 }: { readonly quietMs?: number } = {},
): Promise<string> {
  const { hostname, port } = new URL(address)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    let text = ''
    socket.on('data', part => {
      text += part.toString('latin1')
    })
    socket.on('close', () => resolve(text))
    socket.on('error', error => (text === '' ? reject(error) : resolve(text)))
    socket.setTimeout(quietMs, () => socket.end())
    const [first = '', ...rest] = typeof parts === 'string' ? [parts] : parts
    socket.write(first, 'latin1')
    rest.forEach((part, i) => {
      setTimeout(() => socket.writable && socket.write(part, 'latin1'), 20 * (i + 1))
    })
  })
}

export interface RawLead {
  /** With the closing `/v1`. */
  readonly url: string
  /** Every byte that came, request after request, as Latin-1. */
  readonly received: () => string
  /** Request lines that came, in order. */
  readonly lines: () => readonly string[]
  /** What the next requests are answered with. */
  answer: string
  forget(): void
  close(): Promise<void>
}

/** A whole answer of JSON. */
export function rawJson(body: string, headers = ''): string {
  const length = Buffer.byteLength(body)
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${headers}content-length: ${length}\r\n\r\n${body}`
}

/** A chat completion as a lead would give it. */
export const COMPLETION = JSON.stringify({
  id: 'chatcmpl-raw',
  object: 'chat.completion',
  created: 1,
  model: 'm-1',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'yes', refusal: null },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
})

/** A lead that speaks bytes: it answers each request that is complete by `content-length`, and keeps connections open. */
export async function openRawLead(): Promise<RawLead> {
  let received = ''
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    let waiting = ''
    socket.on('data', part => {
      waiting += part.toString('latin1')
      for (let end = endOf(waiting); end !== null; end = endOf(waiting)) {
        received += waiting.slice(0, end)
        waiting = waiting.slice(end)
        socket.write(lead.answer, 'latin1')
      }
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const lead: RawLead = {
    url: `http://127.0.0.1:${port}/v1`,
    received: () => received,
    lines: () => received.match(/^[A-Z]+ \S+ HTTP\/1\.1(?=\r$)/gmu) ?? [],
    answer: rawJson(COMPLETION),
    forget() {
      received = ''
      lead.answer = rawJson(COMPLETION)
    },
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
  return lead
}

function endOf(text: string): number | null {
  const head = text.indexOf('\r\n\r\n')
  if (head < 0) return null
  const length = Number(/\r\ncontent-length: (\d+)/iu.exec(text.slice(0, head))?.[1] ?? 0)
  const end = head + 4 + length
  return text.length < end ? null : end
}
