/** Entry of the worker thread that holds PGlite. Speaks the channel protocol and nothing else. */
import { constants, setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../errors.ts'
import { portChannel, serveDatabase } from './channel.ts'
import { type Database, type Row, reasonOf, type Value } from './database.ts'
import { openPgliteFolder } from './pglite-folder.ts'

interface PgliteQueryable {
  query(sql: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

// The projection may lag; requests may not. On Linux a thread has a priority of its own, elsewhere only a process has.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_LOW)

assert(parentPort !== null, 'the PGlite worker runs outside a worker thread')
const port = parentPort

const run = async (on: PgliteQueryable, sql: string, values: readonly Value[] = []) =>
  (await on.query(sql, [...values])).rows as Row[]

try {
  const pglite = await openPgliteFolder((workerData as { folder: string }).folder)
  const database: Database = {
    query: (sql, values) => run(pglite, sql, values),
    transaction: work =>
      pglite.transaction(tx => work({ query: (sql, values) => run(tx, sql, values) })),
    close: () => pglite.close(),
  }
  serveDatabase(database, portChannel(port))
  port.on('message', async (message: { understudy?: unknown }) => {
    if (message?.understudy !== 'database-close') return
    await database.close().finally(() => process.exit(0))
  })
  port.postMessage({ understudy: 'database-ready' })
} catch (error) {
  port.postMessage({
    understudy: 'database-ready',
    error: reasonOf(error) || 'PGlite does not start',
  })
}
