/** Entry of a worker: the whole gateway on a shared port, with a ledger writer of its own and the owner's database. */
import { isUnderstudyError } from '../errors.ts'
import { openRemoteLead } from '../runtimes/index.ts'
import { processChannel } from '../store/index.ts'
import { openChildWorkspace } from '../workspace/index.ts'
import { openUnderstudy, type Understudy } from './compose.ts'
import type { Listening } from './listen.ts'
import { type FromWorker, isWorkerMessage, type WorkerOrder } from './worker-messages.ts'

/** Where the owner died, nobody says how long the rest may take. */
const ORPHAN_GRACE_MS = 10_000
const ORPHAN_CLOSE_MS = 5_000

let understudy: Understudy | null = null
let listening: Listening | null = null
let stopping: Promise<void> | null = null

// The owner hears the same signals, and says what is to be done.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {})
}

async function start(order: WorkerOrder): Promise<void> {
  const { number, dataDir, env, configFile, lead, host, port, ownerSocket } = order
  understudy = await openUnderstudy({
    dataDir,
    env,
    ...(configFile === undefined ? {} : { configFile }),
    ...(lead === undefined ? {} : { lead }),
    listen: { host, port },
    workers: 1,
    worker: {
      number,
      owner: openRemoteLead({ url: 'http://localhost', socketPath: ownerSocket }),
      openWorkspace: options =>
        openChildWorkspace({ ...options, channel: processChannel(process) }),
    },
    writeLog: line => process.stderr.write(line),
  })
  listening = await understudy.listen()
  send({ understudy: 'worker-ready', address: listening.address })
}

function stop(graceMs: number): Promise<void> {
  stopping ??= (async () => {
    await listening?.close({ graceMs })
    await understudy?.close()
    process.exit(0)
  })()
  return stopping
}

process.on('message', message => {
  if (!isWorkerMessage(message)) return
  switch (message.understudy) {
    case 'worker-start':
      if ('order' in message) void start(message.order).catch(fail)
      break
    case 'worker-stats':
      if (understudy !== null) {
        send({ understudy: 'worker-stats', id: message.id, stats: understudy.gateway.stats() })
      }
      break
    case 'worker-refresh':
      // While the database is away, what was live stays live.
      void understudy?.refreshLive().catch(() => undefined)
      break
    case 'worker-stop':
      void stop(message.graceMs)
      break
  }
})
send({ understudy: 'worker-begun' })
process.on('disconnect', () => {
  // Nobody is left who would kill what does not end.
  setTimeout(() => process.exit(1), ORPHAN_GRACE_MS + ORPHAN_CLOSE_MS).unref()
  void stop(ORPHAN_GRACE_MS)
})

function fail(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  const known = isUnderstudyError(error) ? error : null
  const shown = {
    code: known?.code ?? 'bug',
    message,
    ...(known?.help === undefined ? {} : { help: known.help }),
  }
  if (process.connected) {
    process.send?.({ understudy: 'worker-failed', error: shown } satisfies FromWorker, () =>
      process.exit(1),
    )
  } else process.exit(1)
}
