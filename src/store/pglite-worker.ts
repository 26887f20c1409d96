/** Entry of the worker thread that holds PGlite. Speaks the channel protocol and nothing else. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { assert } from '../errors.ts'
import { portChannel, serveDatabase } from './channel.ts'
import type { Database, Row, Value } from './database.ts'

interface PgliteQueryable {
  query(sql: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

assert(parentPort !== null, 'the PGlite worker runs outside a worker thread')
const port = parentPort

const run = async (on: PgliteQueryable, sql: string, values: readonly Value[] = []) =>
  (await on.query(sql, [...values])).rows as Row[]

/**
 * The database is a projection of the ledger, so a folder that cannot be used is put aside and begun anew; the marker
 * tells a folder whose first start was killed half-way.
 */
async function open(folder: string): Promise<PGlite> {
  const marker = join(folder, 'understudy.ready')
  if (!existsSync(marker)) return create(folder, marker)
  try {
    return await PGlite.create(folder)
  } catch {
    return create(folder, marker)
  }
}

async function create(folder: string, marker: string): Promise<PGlite> {
  const aside = `${folder}.broken`
  if (existsSync(folder)) {
    rmSync(aside, { recursive: true, force: true })
    renameSync(folder, aside)
  }
  mkdirSync(folder, { recursive: true })
  const pglite = await PGlite.create(folder)
  writeFileSync(marker, '')
  rmSync(aside, { recursive: true, force: true })
  return pglite
}

try {
  const pglite = await open((workerData as { folder: string }).folder)
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
  const text = error instanceof Error ? error.message : String(error)
  port.postMessage({ understudy: 'database-ready', error: text || 'PGlite does not start' })
}
