/** Answers over Node's own responses: whoever leaves, and whenever, the body ends and its end is told. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, test } from 'vitest'
import { sendReply } from './node-http.ts'

/** Answers one caller, who leaves before the answer or at its first byte. Returns what `onEnd` was told. */
async function answerOnce(
  body: (response: ServerResponse) => AsyncGenerator<Uint8Array>,
  { leavesAtOnce }: { readonly leavesAtOnce: boolean },
): Promise<boolean> {
  const server = createServer()
  const told = new Promise<boolean>(resolve => {
    server.on('request', async (request, response) => {
      if (leavesAtOnce) {
        socket.destroy()
        await once(response, 'close')
      }
      const reply = { status: 200, headers: {}, body: body(response), onEnd: resolve }
      await sendReply(request, response, { ...reply, readTimeoutMs: 600_000 })
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  socket.once('data', () => socket.destroy())
  return told.finally(() => server.close())
}

test('a caller that leaves while a part is being made does not keep the body open', async () => {
  const steps: string[] = []
  const isWhole = await answerOnce(
    async function* (response) {
      try {
        yield Buffer.from('a')
        await once(response, 'close')
        steps.push('made')
        yield Buffer.from('b')
        steps.push('asked for more')
      } finally {
        steps.push('ended')
      }
    },
    { leavesAtOnce: false },
  )
  expect(isWhole).toBe(false)
  expect(steps).toEqual(['made', 'ended'])
})

test('a body whose caller left before it began still runs to its end, where it is recorded', async () => {
  const steps: string[] = []
  const isWhole = await answerOnce(
    async function* () {
      try {
        steps.push('began')
        yield Buffer.from('a')
      } finally {
        steps.push('ended')
      }
    },
    { leavesAtOnce: true },
  )
  expect(isWhole).toBe(false)
  expect(steps).toEqual(['began', 'ended'])
})
