/**
 * How records look as bytes. Per record two lines: a JSON header that ends in its own hash, and the payload behind a
 * random salt. The header commits to the previous header and to the payload line, so the payload can be overwritten
 * later while the chain still verifies. Knows no files.
 */
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import { randomHex } from '../util/index.ts'
import type { RecordKind } from './records.ts'

/** Longest header line in bytes, line break included; a longer one is damage. */
export const HEADER_BYTES_MAX = 1024

/** Largest payload line in bytes, salt included. */
export const PAYLOAD_BYTES_MAX = 64 * 1024 * 1024

/** `prev` of a writer's first record. */
export const NO_HASH = '0'.repeat(64)

const SALT_BYTES = 16
const SALT_LENGTH = SALT_BYTES * 2
/** `,"hash":"…64…"}` */
const HASH_FIELD_LENGTH = 9 + 64 + 2
const FILLER = '#'

/** What one record's header says. */
export interface Header {
  readonly seq: number
  readonly kind: RecordKind
  /** ISO 8601. */
  readonly time: string
  /** Hash of the header before this one in the same writer. */
  readonly prev: string
  /** SHA-256 of the payload line: salt, then JSON. */
  readonly commitment: string
  /** Bytes of the payload line, without its line break. */
  readonly length: number
  /** SHA-256 of the header line up to here. */
  readonly hash: string
}

/** A payload ready to be framed. */
export interface SealedPayload {
  readonly line: Buffer
  readonly commitment: string
}

/**
 * Serialises and salts a payload.
 * @throws ledger-unwritable when it is larger than a record may be
 */
export function sealPayload(payload: object): SealedPayload {
  const line = Buffer.from(randomHex(SALT_BYTES) + JSON.stringify(payload))
  if (line.length > PAYLOAD_BYTES_MAX) {
    throw new UnderstudyError(
      'ledger-unwritable',
      `a record of ${line.length} bytes is larger than the ledger takes (${PAYLOAD_BYTES_MAX})`,
      { help: 'Send smaller requests.' },
    )
  }
  return { line, commitment: sha256(line) }
}

/** The header line, line break included, and its hash. */
export function encodeHeader(fields: Omit<Header, 'hash'>): { line: string; hash: string } {
  const { seq, kind, time, prev, commitment, length } = fields
  const text = JSON.stringify({ seq, kind, time, prev, commitment, length })
  const hash = sha256(text)
  return { line: `${text.slice(0, -1)},"hash":"${hash}"}\n`, hash }
}

/** Reads a header line (without line break); a string says what is wrong with it. */
export function decodeHeader(line: Buffer): Header | string {
  const text = line.toString('latin1')
  const cut = text.length - HASH_FIELD_LENGTH
  if (cut < 2 || !text.startsWith(',"hash":"', cut) || !text.endsWith('"}')) {
    return 'there is no record header here'
  }
  const hash = text.slice(cut + 9, -2)
  if (sha256(Buffer.concat([line.subarray(0, cut), Buffer.from('}')])) !== hash) {
    return 'the header was altered: its hash does not match'
  }
  const header = parseObject(line.toString('utf8'))
  return header !== null && isHeader(header) ? header : 'the header lacks a field'
}

function isHeader(value: object): value is Header {
  const { seq, kind, time, prev, commitment, length } = value as Record<string, unknown>
  return (
    isCount(seq) &&
    typeof kind === 'string' &&
    typeof time === 'string' &&
    isHash(prev) &&
    isHash(commitment) &&
    isCount(length) &&
    length <= PAYLOAD_BYTES_MAX
  )
}

/** True for a hexadecimal SHA-256. */
export function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

/** True for a safe integer ≥ 0. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** What a payload line is, seen from its header. */
export type PayloadState = 'intact' | 'filler' | 'altered'

/** Compares a payload line with what the header committed to. */
export function payloadState(header: Header, line: Buffer): PayloadState {
  if (sha256(line) === header.commitment) return 'intact'
  return line.every(byte => byte === FILLER.charCodeAt(0)) ? 'filler' : 'altered'
}

/** What an erased payload is overwritten with. */
export function filler(length: number): Buffer {
  return Buffer.alloc(length, FILLER)
}

/** The JSON behind the salt; undefined when it does not parse. */
export function decodePayload(line: Buffer): unknown {
  return parseJson(line.toString('utf8', SALT_LENGTH))
}

/** A JSON object, or null for anything else. */
export function parseObject(text: string): object | null {
  const value = parseJson(text)
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
