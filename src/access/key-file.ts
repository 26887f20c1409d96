/** The file that virtual keys are kept in: no secret stands in it. Knows nothing of how keys are used. */
import { readFile } from 'node:fs/promises'
import type { KeyRules } from '../config/index.ts'
import { UnderstudyError } from '../errors.ts'
import { writeFileAtomic } from '../platform/index.ts'

/** A key as it is kept. */
export interface KeyRecord extends KeyRules {
  readonly id: string
  readonly name: string
  readonly hash: string
  readonly createdMs: number
  /** Null while it is not. */
  readonly revokedMs: number | null
  /** Hashes of earlier tokens, good until the time beside them. */
  readonly earlier: readonly { readonly hash: string; readonly untilMs: number }[]
}

/** @throws file-corrupt */
export async function readKeyFile(path: string): Promise<readonly KeyRecord[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw corrupt(path, cause)
  }
  try {
    const { version, keys } = JSON.parse(text) as { version: unknown; keys: unknown }
    if (version !== 1 || !Array.isArray(keys) || !keys.every(isRecord))
      throw new Error('unknown form')
    return keys
  } catch (cause) {
    throw corrupt(path, cause)
  }
}

export async function writeKeyFile(path: string, keys: readonly KeyRecord[]): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify({ version: 1, keys }, null, 2)}\n`)
}

function isRecord(value: unknown): value is KeyRecord {
  const { id, hash, name, role, earlier } = (value ?? {}) as Partial<
    Record<keyof KeyRecord, unknown>
  >
  return (
    [id, hash, name, role].every(text => typeof text === 'string') &&
    Array.isArray(earlier) &&
    /^[0-9a-f]{64}$/u.test(String(hash))
  )
}

/** Without its keys a gateway must not open: it would let everybody in, or nobody. */
function corrupt(path: string, cause: unknown): UnderstudyError {
  return new UnderstudyError('file-corrupt', `The keys in ${path} cannot be read.`, {
    help: 'Restore the file from a backup, or remove it to begin without keys.',
    cause,
  })
}
