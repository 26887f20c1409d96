/** A Postgres server by URL. Every wait has an end, and a lost connection is an error of the call, not of the process. */
import pg from 'pg'
import { type Database, type Queryable, storeUnavailable, type Value } from './database.ts'

/** Upper bounds, in milliseconds. */
const CONNECT_TIMEOUT_MS = 3_000
const STATEMENT_TIMEOUT_MS = 30_000

/**
 * Connects when first used.
 * @example openPostgres('postgres://user:secret@db.internal/understudy')
 */
export function openPostgres(
  url: string,
  { statementTimeoutMs = STATEMENT_TIMEOUT_MS }: { statementTimeoutMs?: number } = {},
): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: 4,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    // The server's own limit comes first; this one is for a server that does not answer at all.
    query_timeout: statementTimeoutMs + 1_000,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    application_name: 'understudy',
    allowExitOnIdle: true,
  })
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => {})
  const run = async (on: pg.Pool | pg.PoolClient, sql: string, values: readonly Value[] = []) => {
    try {
      return (await on.query(sql, [...values])).rows
    } catch (error) {
      throw storeUnavailable(error)
    }
  }
  return {
    query: (sql, values) => run(pool, sql, values),
    async transaction(work) {
      const client = await pool.connect().catch(error => {
        throw storeUnavailable(error)
      })
      client.on('error', ignore)
      let broken: Error | undefined
      try {
        await run(client, 'begin')
        const tx: Queryable = { query: (sql, values) => run(client, sql, values) }
        const result = await work(tx)
        await run(client, 'commit')
        return result
      } catch (error) {
        await run(client, 'rollback').catch(failure => {
          broken = failure
        })
        throw error
      } finally {
        client.off('error', ignore)
        client.release(broken)
      }
    },
    close: () => pool.end(),
  }
}

function ignore(): void {}
