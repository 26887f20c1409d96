/** The projection of the ledger in Postgres, embedded or not. */
export {
  connectDatabase,
  type MessageChannel,
  portChannel,
  processChannel,
  serveDatabase,
} from './channel.ts'
export type { Database, Queryable, Row, Value } from './database.ts'
export { openStore } from './open-store.ts'
export { openPglite } from './pglite.ts'
export { openPostgres } from './postgres.ts'
export type * from './types.ts'
export { ERASED_CONTENT } from './types.ts'
