/**
 * The least that a reverse proxy in Node can be: pipes requests to one address and answers back, keeps nothing. The
 * yardstick for what recording, routing and limits cost. Prints its address when ready.
 *
 *   node bench/lib/bare-proxy.mjs http://127.0.0.1:PORT
 */
import { Agent, createServer, request } from 'node:http'

const target = new URL(process.argv[2])
const agent = new Agent({ keepAlive: true, maxSockets: 4096 })

const server = createServer((incoming, outgoing) => {
  const onward = request(
    {
      agent,
      host: target.hostname,
      port: target.port,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
    },
    answer => {
      outgoing.writeHead(answer.statusCode, answer.headers)
      answer.pipe(outgoing)
    },
  )
  onward.on('error', () => outgoing.destroy())
  outgoing.on('close', () => onward.destroy())
  incoming.pipe(onward)
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`proxy listens on http://127.0.0.1:${server.address().port}\n`)
})
