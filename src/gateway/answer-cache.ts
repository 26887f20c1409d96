/** Answers kept by exact request: bytes in memory, bounded, each for its time. Knows no wire and no lead. */
import type { CacheConfig } from '../config/index.ts'
import { sha256 } from '../platform/index.ts'
import { type Clock, canonicalJson } from '../util/index.ts'
import type { HeaderMap } from './intent.ts'

/** A whole answer as the caller got it. */
export interface CachedAnswer {
  readonly headers: HeaderMap
  readonly bytes: Uint8Array
  /** Decision whose answer it is. */
  readonly origin: string
  /** The answer as it was recorded. */
  readonly response: unknown
  readonly isStream: boolean
}

export interface AnswerCache {
  /** Null where there is none, or its time is over. */
  get(key: string): (CachedAnswer & { readonly ageMs: number }) | null
  put(key: string, answer: CachedAnswer, ttlMs: number): void
  /** Largest answer that is kept. */
  readonly maxAnswerBytes: number
  configure(config: CacheConfig): void
  readonly counts: { readonly hits: number; readonly misses: number; readonly bytes: number }
}

export interface CacheKeyParts {
  readonly path: string
  readonly route: string
  /** Who shares the answer; '' for all of the route. */
  readonly scope: string
  readonly configHash: string
  /** Headers that change what an upstream answers. */
  readonly headers: HeaderMap
  readonly body: unknown
}

/** Requests are equal when their JSON is, whatever the order of its keys; streamed and whole ones are kept apart. */
export function cacheKey(parts: CacheKeyParts): string {
  return sha256(canonicalJson(parts))
}

interface Entry {
  readonly answer: CachedAnswer
  readonly atMs: number
  readonly untilMs: number
  readonly size: number
}

/** What an entry takes beside its bytes: the parsed answer, about as long again, and the bookkeeping. */
const OVERHEAD_BYTES = 1024

export function createAnswerCache(
  { maxBytes, maxAnswerBytes }: CacheConfig,
  clock: Pick<Clock, 'monotonic'>,
): AnswerCache {
  let limits = { maxBytes, maxAnswerBytes }
  /** Least recently used first. */
  const entries = new Map<string, Entry>()
  let [bytes, hits, misses] = [0, 0, 0]

  const remove = (key: string): void => {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    bytes -= entry.size
  }
  const shrink = (): void => {
    for (const key of entries.keys()) {
      if (bytes <= limits.maxBytes) return
      remove(key)
    }
  }
  return {
    get(key) {
      const entry = entries.get(key)
      const nowMs = clock.monotonic()
      if (entry === undefined || entry.untilMs <= nowMs) {
        remove(key)
        misses++
        return null
      }
      entries.delete(key)
      entries.set(key, entry)
      hits++
      return { ...entry.answer, ageMs: nowMs - entry.atMs }
    },
    put(key, answer, ttlMs) {
      remove(key)
      if (answer.bytes.length > limits.maxAnswerBytes) return
      const size = 2 * answer.bytes.length + OVERHEAD_BYTES
      const atMs = clock.monotonic()
      entries.set(key, { answer, atMs, untilMs: atMs + ttlMs, size })
      bytes += size
      shrink()
    },
    get maxAnswerBytes() {
      return limits.maxAnswerBytes
    },
    configure(config) {
      limits = config
      shrink()
    },
    get counts() {
      return { hits, misses, bytes }
    },
  }
}
