/** Virtual keys: created, listed, rotated, revoked, recognised. Works from memory and one file, so no database is needed. */
import type { ConfigKey, KeyRules } from '../config/index.ts'
import { UnderstudyError } from '../errors.ts'
import { type Clock, nearest } from '../util/index.ts'
import { type KeyRecord, readKeyFile, writeKeyFile } from './key-file.ts'
import { createToken, equalHashes, hashToken, idInToken } from './token.ts'

/** A key as it is shown and used: without any hash. */
export interface Key extends KeyRules {
  readonly id: string
  readonly name: string
  /** Keys of the configuration are changed there. */
  readonly source: 'config' | 'file'
  readonly createdMs: number | null
  readonly revokedMs: number | null
}

export interface Keys {
  /** True where callers must present one. */
  readonly areRequired: boolean
  /** The key that a token belongs to. @throws key-invalid */
  find(token: string): Key
  /** Null where no key has the id. */
  get(id: string): Key | null
  list(): readonly Key[]
  /** @returns the token too, which nobody can read again. @throws usage-invalid */
  create(name: string, rules: KeyRules): Promise<{ readonly key: Key; readonly token: string }>
  /** A new token; the old one stays good for the grace. @throws not-found, usage-invalid */
  rotate(id: string, graceMs: number): Promise<{ readonly key: Key; readonly token: string }>
  /** @throws not-found, usage-invalid */
  revoke(id: string): Promise<Key>
  /** Takes the keys of another configuration. */
  configure(keys: readonly ConfigKey[]): void
  /** Takes over what another process changed; where the file cannot be read, the keys stay as they are. @throws file-corrupt */
  reread(): Promise<void>
}

/** Compared with where no record has the id, so that the time taken tells nothing. */
const NO_HASH = '0'.repeat(64)

/** `path` null: keys live in memory only. @throws file-corrupt */
export async function openKeys(
  path: string | null,
  configKeys: readonly ConfigKey[],
  clock: Pick<Clock, 'now'>,
): Promise<Keys> {
  return createKeys(
    path === null ? [] : await readKeyFile(path),
    configKeys,
    clock,
    async records => {
      if (path !== null) await writeKeyFile(path, records)
    },
    path === null ? undefined : () => readKeyFile(path),
  )
}

export function createKeys(
  kept: readonly KeyRecord[],
  configKeys: readonly ConfigKey[],
  clock: Pick<Clock, 'now'>,
  save: (records: readonly KeyRecord[]) => Promise<void>,
  read?: () => Promise<readonly KeyRecord[]>,
): Keys {
  let records = new Map(kept.map(record => [record.id, record]))
  let fromConfig = configKeys.map(fromConfigKey)
  let last: Promise<unknown> = Promise.resolve()

  const active = (): readonly KeyRules[] => [
    ...fromConfig.map(({ key }) => key),
    ...[...records.values()].filter(({ revokedMs }) => revokedMs === null),
  ]
  const isOperator = ({ role, expiresMs }: KeyRules): boolean =>
    role === 'operator' && (expiresMs === null || expiresMs > clock.now())

  /** One change after another, and none in memory that is not on disk. */
  const change = async (id: string, make: () => KeyRecord): Promise<Key> => {
    const turn = last.then(async () => {
      const record = make()
      const next = new Map(records).set(id, record)
      await save([...next.values()]).catch(cause => {
        throw new UnderstudyError(
          'file-unreadable',
          `The keys cannot be saved: ${cause.message}.`,
          {
            help: 'Check the permissions and the space of the data folder.',
            cause,
          },
        )
      })
      records = next
      return shown(record)
    })
    last = turn.catch(() => undefined)
    return turn
  }

  const existing = (id: string): KeyRecord => {
    const record =
      records.get(id) ??
      [...records.values()].find(({ name, revokedMs }) => name === id && revokedMs === null)
    if (record !== undefined && record.revokedMs === null) return record
    const isConfigured = fromConfig.some(({ key }) => key.id === id || key.name === id)
    const near = nearest(
      id,
      [...records.values()].map(({ name }) => name),
    )
    throw isConfigured
      ? new UnderstudyError('usage-invalid', `The key '${id}' stands in the configuration.`, {
          help: 'Change it there.',
        })
      : new UnderstudyError('not-found', `There is no key '${id.slice(0, 80)}'.`, {
          help: near === null ? 'List them with `understudy key list`.' : `Did you mean '${near}'?`,
        })
  }

  return {
    get areRequired() {
      return active().length > 0
    },
    find(token) {
      const hash = hashToken(token)
      const nowMs = clock.now()
      const record = records.get(idInToken(token) ?? '')
      const hashes =
        record === undefined || record.revokedMs !== null ? [] : goodHashes(record, nowMs)
      let found: Key | null = null
      for (const good of hashes.length === 0 ? [NO_HASH] : hashes) {
        if (equalHashes(hash, good) && record !== undefined) found = shown(record)
      }
      // All of them, so that the time taken does not tell which one came close.
      for (const each of fromConfig) if (equalHashes(hash, each.hash)) found = each.key
      if (found === null) {
        throw new UnderstudyError('key-invalid', 'The key is missing or wrong.', {
          help: 'Send `Authorization: Bearer KEY` with a key of this gateway.',
        })
      }
      if (found.expiresMs !== null && found.expiresMs <= nowMs) {
        const day = new Date(found.expiresMs).toISOString().slice(0, 10)
        throw new UnderstudyError('key-invalid', `The key '${found.name}' expired on ${day}.`, {
          help: 'Ask the operator of this gateway for another.',
        })
      }
      return found
    },
    get(id) {
      const record = records.get(id)
      if (record !== undefined) return shown(record)
      return fromConfig.find(({ key }) => key.id === id)?.key ?? null
    },
    list: () => [...fromConfig.map(({ key }) => key), ...[...records.values()].map(shown)],
    async create(name, rules) {
      const { token, id, hash } = createToken()
      const key = await change(id, () => {
        const isTaken = [...fromConfig.map(({ key: each }) => each), ...records.values()].some(
          each => each.name === name && each.revokedMs === null,
        )
        if (isTaken) throw nameTaken(name)
        if (!isOperator(rules) && !active().some(isOperator)) throw needsOperator()
        return { ...rules, id, name, hash, createdMs: clock.now(), revokedMs: null, earlier: [] }
      })
      return { key, token }
    },
    async rotate(idOrName, graceMs) {
      const { id } = existing(idOrName)
      const { token, hash } = createToken(id)
      const key = await change(id, () => {
        const record = existing(id)
        const nowMs = clock.now()
        const earlier = [...record.earlier, { hash: record.hash, untilMs: nowMs + graceMs }]
        return { ...record, hash, earlier: earlier.filter(({ untilMs }) => untilMs > nowMs) }
      })
      return { key, token }
    },
    async revoke(idOrName) {
      const { id } = existing(idOrName)
      return change(id, () => {
        const record = existing(id)
        const others = active().filter(each => each !== record)
        if (isOperator(record) && others.length > 0 && !others.some(isOperator))
          throw needsOperator()
        return { ...record, revokedMs: clock.now(), earlier: [] }
      })
    },
    async reread() {
      if (read !== undefined) records = new Map((await read()).map(record => [record.id, record]))
    },
    configure(keys) {
      fromConfig = keys.map(fromConfigKey)
    },
  }
}

function goodHashes({ hash, earlier }: KeyRecord, nowMs: number): readonly string[] {
  return [hash, ...earlier.filter(({ untilMs }) => untilMs > nowMs).map(each => each.hash)]
}

function fromConfigKey({ key, name, ...rules }: ConfigKey): {
  readonly key: Key
  readonly hash: string
} {
  const id = `config_${name}`
  return {
    key: { ...rules, id, name, source: 'config', createdMs: null, revokedMs: null },
    hash: hashToken(key),
  }
}

function shown({ hash: _, earlier: __, ...record }: KeyRecord): Key {
  return { ...record, source: 'file' }
}

function nameTaken(name: string): UnderstudyError {
  return new UnderstudyError(
    'usage-invalid',
    `There is a key named '${name.slice(0, 80)}' already.`,
    {
      help: 'Choose another name, or rotate that key.',
    },
  )
}

/** Where keys exist, every caller needs one: without an operator's among them, nobody could change them any more. */
function needsOperator(): UnderstudyError {
  return new UnderstudyError(
    'usage-invalid',
    'No key of an operator would be left to manage the others.',
    {
      help: 'First run `understudy key create NAME --role operator`, and set UNDERSTUDY_KEY to what it prints.',
    },
  )
}
