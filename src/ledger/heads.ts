/**
 * Signed heads: how far a writer had come, under a key that lies outside the data folder, so that whoever rewrites the
 * data cannot re-sign it. Knows nothing of records.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import { createReadStream } from 'node:fs'
import { appendFile, chmod, mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { canonicalJson } from '../util/index.ts'
import { isCount, isHash, parseObject } from './format.ts'
import { HEADS_FILE, unreadable } from './layout.ts'

/** A longer line in a heads file is none of ours. */
const LINE_LENGTH_MAX = 2048

/** A writer's newest record at some moment. */
export interface Head {
  readonly writer: string
  readonly seq: number
  readonly hash: string
  /** Where the next record goes. */
  readonly segment: number
  readonly offset: number
  /** ISO 8601. */
  readonly time: string
  /** True where the writer was closed or, after a crash, found dead: nothing comes after it. */
  readonly isFinal: boolean
  /** Bytes of a torn last record that were cut off when the writer was found dead. */
  readonly repairedByteCount: number
}

/** A head with its signature: Ed25519 over the canonical JSON of the other fields. */
export interface SignedHead extends Head {
  /** Raw public key, base64. */
  readonly key: string
  readonly signature: string
}

/** Signs heads with one key. */
export interface HeadSigner {
  /** Raw public key, base64. */
  readonly publicKey: string
  sign(head: Head): SignedHead
}

/** Where the key lies unless told otherwise: in the user's configuration, not in the data folder. */
export function defaultSigningKeyPath(env: NodeJS.ProcessEnv = process.env): string {
  const config = env.XDG_CONFIG_HOME || join(homedir(), '.config')
  return join(config, 'understudy', 'ledger-key.pem')
}

/**
 * Loads the signing key, or makes one (mode 0600).
 * @throws config-invalid when the file is no Ed25519 key or cannot be read or made
 */
export async function openHeadSigner(path: string): Promise<HeadSigner> {
  const key = parseKey(path, await readOrCreate(path))
  const publicKey = rawPublicKey(key)
  return {
    publicKey,
    sign(head) {
      const signature = sign(null, Buffer.from(canonicalJson(head)), key).toString('base64')
      return { ...head, key: publicKey, signature }
    },
  }
}

/** The public half of a signing key, base64; null where there is no key file. @throws config-invalid */
export async function readPublicKey(path: string): Promise<string | null> {
  const pem = await readFile(path, 'utf8').catch(error => {
    if (error.code === 'ENOENT') return null
    throw keyInvalid(path, error)
  })
  return pem === null ? null : rawPublicKey(parseKey(path, pem))
}

async function readOrCreate(path: string): Promise<string> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const { privateKey } = generateKeyPairSync('ed25519')
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    await writeFile(path, pem, { flag: 'wx', mode: 0o600 })
    await chmod(path, 0o600)
    return pem
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw keyInvalid(path, error)
  }
  return readFile(path, 'utf8').catch(error => {
    throw keyInvalid(path, error)
  })
}

function parseKey(path: string, pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch (error) {
    throw keyInvalid(path, error)
  }
  throw keyInvalid(path, new Error('it is not an Ed25519 key'))
}

function keyInvalid(path: string, cause: unknown): UnderstudyError {
  return new UnderstudyError(
    'config-invalid',
    `cannot use the ledger's signing key ${path}: ${cause instanceof Error ? cause.message : cause}`,
    { help: 'Restore the key, or name another file; heads signed before stay valid.', cause },
  )
}

function rawPublicKey(key: KeyObject): string {
  const jwk = createPublicKey(key).export({ format: 'jwk' })
  return Buffer.from(jwk.x as string, 'base64url').toString('base64')
}

/** Whether the signature is the named key's over this very head. */
export function isHeadSigned(signed: SignedHead): boolean {
  const { key, signature, ...head } = signed
  try {
    const x = Buffer.from(key, 'base64').toString('base64url')
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
    return verify(
      null,
      Buffer.from(canonicalJson(head)),
      publicKey,
      Buffer.from(signature, 'base64'),
    )
  } catch {
    return false
  }
}

/** Adds a head to a writer's file. @throws the file system's own error */
export function appendHead(path: string, head: SignedHead): Promise<void> {
  return appendFile(join(path, HEADS_FILE), `${JSON.stringify(head)}\n`)
}

/**
 * Heads of a writer in the order written; `null` stands for a line that is none.
 * @throws file-unreadable
 */
export async function* readHeads(path: string): AsyncGenerator<SignedHead | null> {
  const file = join(path, HEADS_FILE)
  let rest = ''
  try {
    for await (const chunk of createReadStream(file, { encoding: 'latin1' })) {
      const lines = (rest + chunk).split('\n')
      rest = (lines.pop() as string).slice(0, LINE_LENGTH_MAX + 1)
      for (const line of lines) yield parseHead(line)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unreadable(file, error)
  }
  if (rest !== '') yield parseHead(rest)
}

/** The newest head in a writer's file, read from its end; null where there is none. */
export async function lastHead(path: string): Promise<SignedHead | null> {
  const handle = await open(join(path, HEADS_FILE), 'r').catch(() => null)
  if (handle === null) return null
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.alloc(Math.min(size, 4 * LINE_LENGTH_MAX))
    await handle.read(buffer, 0, buffer.length, size - buffer.length)
    const lines = buffer.toString('latin1').split('\n').reverse()
    return lines.map(parseHead).find(head => head !== null) ?? null
  } finally {
    await handle.close()
  }
}

function parseHead(line: string): SignedHead | null {
  if (line.length > LINE_LENGTH_MAX) return null
  const value = parseObject(line) as Partial<SignedHead> | null
  const isHead =
    value !== null &&
    typeof value.writer === 'string' &&
    isCount(value.seq) &&
    isHash(value.hash) &&
    isCount(value.segment) &&
    isCount(value.offset) &&
    typeof value.key === 'string' &&
    typeof value.signature === 'string'
  return isHead ? (value as SignedHead) : null
}
