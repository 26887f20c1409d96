/** The store's contract on every database: embedded, across a channel, and a real server. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  connectDatabase,
  type Database,
  openPglite,
  openPostgres,
  openStore,
  portChannel,
  serveDatabase,
} from '../../src/store/index.ts'
import { findPostgres, temporarySchema } from './postgres-server.ts'
import { runStoreContract } from './store.contract.ts'

function temporaryPglite(): { database: Database; dataDir: string; drop(): Promise<void> } {
  const dataDir = mkdtempSync(join(tmpdir(), 'understudy-store-'))
  const drop = async () => rmSync(dataDir, { recursive: true, force: true })
  return { database: openPglite(dataDir), dataDir, drop }
}

runStoreContract('PGlite', async () => temporaryPglite())

runStoreContract('PGlite of another process', async () => {
  const { database: owned, drop } = temporaryPglite()
  const { port1, port2 } = new MessageChannel()
  serveDatabase(owned, portChannel(port1))
  const database = connectDatabase(portChannel(port2))
  return {
    database,
    async drop() {
      port1.close()
      await owned.close()
      await drop()
    },
  }
})

const server = await findPostgres()
if (server.url === null) {
  describe.skip(`store on Postgres: ${server.reason}`, () => it('is skipped', () => {}))
  console.warn(server.reason)
} else {
  runStoreContract('Postgres', async () => {
    const { url, drop } = await temporarySchema(server.url)
    return { database: openPostgres(url), drop }
  })

  describe('a Postgres server that is slow', () => {
    it('costs the call its time limit, not more', async () => {
      const database = openPostgres(server.url, { statementTimeoutMs: 200 })
      await expect(database.query('select pg_sleep(20)')).rejects.toMatchObject({
        code: 'store-unavailable',
      })
      await database.close()
    })

    it('survives its connections being cut', async () => {
      const database = openPostgres(server.url)
      const cut = database.transaction(async tx => {
        await tx.query('select pg_terminate_backend(pg_backend_pid())')
      })
      await expect(cut).rejects.toMatchObject({ code: 'store-unavailable' })
      expect(await database.query('select 1 as one')).toEqual([{ one: 1 }])
      await database.close()
    })
  })
}

describe('a database that is away', () => {
  it('is an error that says so when nobody listens', async () => {
    const store = openStore(openPostgres('postgres://127.0.0.1:1/none'))
    await expect(store.traceCount()).rejects.toMatchObject({ code: 'store-unavailable' })
    await store.close()
  })

  it('is an error that says so when somebody listens and never answers', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await new Promise(resolve => silent.once('listening', resolve))
    const { port } = silent.address() as { port: number }
    const store = openStore(openPostgres(`postgres://127.0.0.1:${port}/none`))
    await expect(store.traceCount()).rejects.toMatchObject({ code: 'store-unavailable' })
    await store.close()
    silent.close()
  })

  it('is an error that says so when the embedded one has no place to be', async () => {
    const { dataDir, drop } = temporaryPglite()
    writeFileSync(join(dataDir, 'file'), '')
    const database = openPglite(join(dataDir, 'file'))
    await expect(database.query('select 1')).rejects.toMatchObject({ code: 'store-unavailable' })
    await database.close()
    await drop()
  })

  it('is begun anew when the embedded folder is junk, for the ledger can fill it again', async () => {
    const { database, dataDir, drop } = temporaryPglite()
    mkdirSync(join(dataDir, 'db'))
    writeFileSync(join(dataDir, 'db', 'PG_VERSION'), 'junk')
    writeFileSync(join(dataDir, 'db', 'understudy.ready'), '')
    expect(await openStore(database).traceCount()).toBe(0)
    await database.close()
    await drop()
  })
})

describe('a database across a channel', () => {
  let made: ReturnType<typeof temporaryPglite>
  beforeAll(async () => {
    made = temporaryPglite()
    await made.database.query('create table item (n integer)')
  }, 60_000)
  afterAll(async () => {
    await made.database.close()
    await made.drop()
  })
  const connect = (options?: { timeoutMs: number }) => {
    const { port1, port2 } = new MessageChannel()
    return { database: connectDatabase(portChannel(port2), options), port1, port2 }
  }

  it('rolls back what a user left open when it went away', async () => {
    const { database, port1, port2 } = connect()
    serveDatabase(made.database, portChannel(port1))
    const left = database.transaction(async tx => {
      await tx.query('insert into item values (1)')
      port2.close()
      await new Promise(() => {})
    })
    left.catch(() => undefined)
    await new Promise(resolve => port1.once('close', resolve))
    expect(await made.database.query('select * from item')).toEqual([])
  })

  it('does not wait for ever when nobody serves or the owner is gone', async () => {
    const unserved = connect({ timeoutMs: 50 })
    await expect(unserved.database.query('select 1')).rejects.toMatchObject({
      code: 'store-unavailable',
    })
    const asked = connect()
    const answer = asked.database.query('select 1')
    asked.port1.close()
    await expect(answer).rejects.toMatchObject({ code: 'store-unavailable' })
    await expect(asked.database.query('select 1')).rejects.toMatchObject({
      code: 'store-unavailable',
    })
    unserved.port1.close()
  })
})
