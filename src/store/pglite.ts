/** The embedded Postgres: PGlite in a worker thread of its own, started when first needed and again after it died. */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { builtModule } from '../platform/index.ts'
import { settledWithin } from '../util/index.ts'
import { connectDatabase, portChannel } from './channel.ts'
import { type Database, storeUnavailable, withTimeout } from './database.ts'

interface Running {
  readonly worker: Worker
  readonly database: Database
}

const START_TIMEOUT_MS = 60_000
const CLOSE_TIMEOUT_MS = 5_000

/**
 * The database in `<data folder>/db`; only one process may open it.
 * @throws nothing here; every call throws store-unavailable where PGlite does not start
 */
export function openPglite(dataDir: string): Database {
  let running: Promise<Running> | null = null
  let starting: Worker | null = null
  let isClosed = false

  const start = (): Promise<Running> => {
    if (isClosed) return Promise.reject(storeUnavailable(new Error('the database was closed')))
    if (running === null) {
      starting = openWorker(join(dataDir, 'db'))
      running = whenReady(starting, () => {
        running = null
      })
    }
    return running
  }
  return {
    query: async (sql, values) => (await start()).database.query(sql, values),
    transaction: async work => (await start()).database.transaction(work),
    async close() {
      isClosed = true
      // One that is still starting may never come to an end, on a full disk for one.
      const last =
        running && (await withTimeout(running, CLOSE_TIMEOUT_MS, 'closing').catch(() => null))
      if (!last) {
        await starting?.terminate()
        return
      }
      const exited = new Promise(resolve => last.worker.once('exit', resolve))
      last.worker.ref()
      last.worker.postMessage({ understudy: 'database-close' })
      if (!(await settledWithin(exited, CLOSE_TIMEOUT_MS))) await last.worker.terminate()
      await last.database.close()
    },
  }
}

function openWorker(folder: string): Worker {
  return new Worker(builtModule(import.meta.url, './pglite-worker'), {
    workerData: { folder },
    stdout: true,
    stderr: true,
  })
}

/** Resolves when PGlite is up, so that a folder it cannot use is an error and not silence. */
async function whenReady(worker: Worker, onExit: () => void): Promise<Running> {
  const ready = new Promise<void>((resolve, reject) => {
    worker.on('error', reject)
    worker.once('exit', () => reject(new Error('PGlite stopped')))
    worker.once('message', (message: { error?: string }) => {
      if (message.error === undefined) resolve()
      else reject(new Error(message.error))
    })
  })
  worker.once('exit', onExit)
  try {
    await withTimeout(ready, START_TIMEOUT_MS, 'starting PGlite')
    return { worker, database: connectDatabase(portChannel(worker)) }
  } catch (error) {
    onExit()
    await worker.terminate()
    throw storeUnavailable(error)
  }
}
