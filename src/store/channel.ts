/** A database across a message channel: one side owns it, the other uses it. Knows neither SQL nor drivers. */
import type { ChildProcess } from 'node:child_process'
import type { MessagePort, Worker } from 'node:worker_threads'
import type { UnderstudyError } from '../errors.ts'
import {
  type Database,
  type Queryable,
  type Row,
  storeUnavailable,
  type Value,
} from './database.ts'

/** Two ends that send each other messages; others may use the same channel for theirs. */
export interface MessageChannel {
  /** Returns false where the other end is gone. */
  send(message: object): boolean
  onMessage(listener: (message: unknown) => void): () => void
  onClose(listener: () => void): () => void
  /** Keeps this process alive while answers are awaited, and only then. */
  keepAlive(isWaiting: boolean): void
}

/** The channel of a forked child (as seen by its parent) or of this process to its parent. */
export function processChannel(peer: ChildProcess | NodeJS.Process): MessageChannel {
  // Both are emitters with `send`; their typings differ only in details that do not matter here.
  const end = peer as ChildProcess
  return {
    send(message) {
      if (!end.connected) return false
      end.send(message, error => {
        if (error) end.emit('understudy-channel-failed')
      })
      return true
    },
    onMessage: listener => subscribe(end, ['message'], listener),
    onClose: listener => subscribe(end, ['disconnect', 'understudy-channel-failed'], listener),
    keepAlive() {},
  }
}

/** The channel of a worker thread, from either side. */
export function portChannel(port: MessagePort | Worker): MessageChannel {
  let isOpen = true
  const closed = () => {
    isOpen = false
  }
  port.on('close', closed)
  port.on('exit', closed)
  return {
    send(message) {
      if (isOpen) port.postMessage(message)
      return isOpen
    },
    onMessage: listener => subscribe(port, ['message'], listener),
    onClose: listener => subscribe(port, ['close', 'exit'], listener),
    keepAlive: isWaiting => (isWaiting ? port.ref() : port.unref()),
  }
}

interface Emitter {
  on(event: string, listener: (value: unknown) => void): unknown
  off(event: string, listener: (value: unknown) => void): unknown
}

function subscribe(end: unknown, events: readonly string[], listener: (value: unknown) => void) {
  const emitter = end as Emitter
  for (const event of events) emitter.on(event, listener)
  return () => {
    for (const event of events) emitter.off(event, listener)
  }
}

type Operation = 'query' | 'begin' | 'commit' | 'rollback'

interface Request {
  readonly understudy: 'database-request'
  readonly id: number
  readonly operation: Operation
  /** Number of the transaction that this belongs to; 0: none. */
  readonly transaction: number
  readonly sql?: string
  readonly values?: readonly Value[]
}

interface Reply {
  readonly understudy: 'database-reply'
  readonly id: number
  readonly rows?: readonly Row[]
  readonly error?: { readonly message: string; readonly sqlState: unknown }
}

/** A transaction whose owner went silent for this long is rolled back, so that others can go on. */
const SILENCE_MS = 30_000
const REQUEST_TIMEOUT_MS = 60_000

interface OpenTransaction {
  readonly tx: Queryable
  end(outcome: 'commit' | 'rollback'): Promise<void>
  /** Restarts the clock of silence. */
  touch(): void
}

/**
 * Lets the other end use a database. What it left open is rolled back when the channel closes.
 * @returns a function that stops serving
 */
export function serveDatabase(database: Database, channel: MessageChannel): () => void {
  const open = new Map<number, OpenTransaction>()

  const answer = async (request: Request): Promise<readonly Row[]> => {
    const { operation, transaction, sql = '', values = [] } = request
    if (operation === 'begin') {
      open.set(request.id, await beginTransaction(database, () => open.delete(request.id)))
      return []
    }
    if (operation === 'query' && transaction === 0) return database.query(sql, values)
    const current = open.get(transaction)
    if (current === undefined) throw new Error('the transaction was rolled back')
    current.touch()
    if (operation === 'query') return current.tx.query(sql, values)
    await current.end(operation)
    return []
  }
  const stopMessages = channel.onMessage(message => {
    if (!isTagged(message, 'database-request')) return
    const { id } = message as Request
    answer(message as Request).then(
      rows => channel.send({ understudy: 'database-reply', id, rows } satisfies Reply),
      error => channel.send({ understudy: 'database-reply', id, error: portable(error) }),
    )
  })
  const stop = () => {
    stopMessages()
    stopClose()
    for (const transaction of open.values()) void transaction.end('rollback').catch(() => undefined)
  }
  const stopClose = channel.onClose(stop)
  return stop
}

function portable(error: unknown): Reply['error'] {
  const { message, details, cause } = storeUnavailable(error)
  const inner = cause instanceof Error ? cause.message : message
  return { message: inner, sqlState: details.sqlState ?? null }
}

/** Turns a callback transaction into one that is ended from outside. */
async function beginTransaction(database: Database, onEnd: () => void): Promise<OpenTransaction> {
  const rollBack = new Error('rolled back')
  let timer: NodeJS.Timeout | undefined
  let finish: (outcome: 'commit' | 'rollback') => void = () => {}
  const outcome = new Promise<'commit' | 'rollback'>(resolve => {
    finish = resolve
  })
  const touch = () => {
    clearTimeout(timer)
    timer = setTimeout(() => finish('rollback'), SILENCE_MS).unref()
  }
  return new Promise((resolve, reject) => {
    const done = database
      .transaction(async tx => {
        touch()
        const end = (ending: 'commit' | 'rollback') => {
          finish(ending)
          return done
        }
        resolve({ tx, touch, end })
        if ((await outcome) === 'rollback') throw rollBack
      })
      .catch(error => {
        if (error !== rollBack) throw error
      })
      .finally(() => {
        clearTimeout(timer)
        onEnd()
      })
    done.catch(reject)
  })
}

interface Pending {
  resolve(rows: readonly Row[]): void
  reject(error: Error): void
  readonly timer: NodeJS.Timeout
}

/**
 * Uses the database that the other end serves.
 * @throws store-unavailable from every call once the channel is closed or no answer comes
 */
export function connectDatabase(
  channel: MessageChannel,
  { timeoutMs = REQUEST_TIMEOUT_MS }: { timeoutMs?: number } = {},
): Database {
  const waiting = new Map<number, Pending>()
  let lastId = 0
  let isClosed = false

  const settle = (id: number) => {
    const entry = waiting.get(id)
    clearTimeout(entry?.timer)
    waiting.delete(id)
    if (waiting.size === 0) channel.keepAlive(false)
    return entry
  }
  const ask = (
    operation: Operation,
    transaction: number,
    sql?: string,
    values?: readonly Value[],
  ) =>
    new Promise<readonly Row[]>((resolve, reject) => {
      const id = ++lastId
      const late = () =>
        settle(id)?.reject(storeUnavailable(new Error(`no answer within ${timeoutMs} ms`)))
      waiting.set(id, { resolve, reject, timer: setTimeout(late, timeoutMs) })
      channel.keepAlive(true)
      const request = { understudy: 'database-request', id, operation, transaction, sql, values }
      if (isClosed || !channel.send(request)) settle(id)?.reject(gone())
    })
  const stopMessages = channel.onMessage(message => {
    if (!isTagged(message, 'database-reply')) return
    const { id, rows, error } = message as Reply
    if (error === undefined) settle(id)?.resolve(rows ?? [])
    else settle(id)?.reject(failure(error))
  })
  const shut = () => {
    isClosed = true
    stopMessages()
    stopClose()
    for (const id of [...waiting.keys()]) settle(id)?.reject(gone())
  }
  const stopClose = channel.onClose(shut)
  channel.keepAlive(false)

  return {
    query: (sql, values = []) => ask('query', 0, sql, values),
    async transaction(work) {
      // The number of the request that began it names a transaction.
      const begun = ask('begin', 0)
      const transaction = lastId
      await begun
      const tx: Queryable = { query: (sql, values = []) => ask('query', transaction, sql, values) }
      try {
        const result = await work(tx)
        await ask('commit', transaction)
        return result
      } catch (error) {
        await ask('rollback', transaction).catch(() => undefined)
        throw error
      }
    },
    async close() {
      if (!isClosed) shut()
    },
  }
}

function isTagged(message: unknown, tag: string): boolean {
  return (message as { understudy?: unknown } | null)?.understudy === tag
}

function gone(): UnderstudyError {
  return storeUnavailable(new Error('the process that owns the database is gone'))
}

function failure({ message, sqlState }: NonNullable<Reply['error']>): UnderstudyError {
  return storeUnavailable(Object.assign(new Error(message), { code: sqlState }))
}
