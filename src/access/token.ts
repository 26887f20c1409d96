/** Tokens of virtual keys: made, recognised, hashed. Knows no rules and no files. */
import { timingSafeEqual } from 'node:crypto'
import { sha256 } from '../platform/index.ts'
import { randomHex } from '../util/index.ts'

/** `usk_` for scanners of leaked secrets, a public part to find the record by, and 192 bits that nobody can guess. */
const TOKEN = /^usk_([0-9a-f]{12})_[0-9a-f]{48}$/u

export interface NewToken {
  /** Shown once. */
  readonly token: string
  readonly id: string
  readonly hash: string
}

/** A token for a new key, or for one that has an id already. */
export function createToken(id: string = `key_${randomHex(6)}`): NewToken {
  const token = `usk_${id.slice('key_'.length)}_${randomHex(24)}`
  return { token, id, hash: hashToken(token) }
}

/** The id that a token names, null where it is none of ours. */
export function idInToken(token: string): string | null {
  const found = TOKEN.exec(token)
  return found === null ? null : `key_${found[1]}`
}

/**
 * SHA-256 without salt or stretching: those protect secrets that people choose, and these are random
 * (docs/decisions/2026-11-27-virtual-keys.md).
 */
export function hashToken(token: string): string {
  return sha256(token)
}

/** Compares hashes in a time that does not tell how far they agree. */
export function equalHashes(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one, 'hex'), Buffer.from(other, 'hex')]
  return a.length === b.length && timingSafeEqual(a, b)
}
