/** Which answers a route keeps, and for whom. Stores nothing itself. */
import type { Key } from '../access/index.ts'
import type { Upstreams } from '../upstreams/index.ts'
import type { ChatRequest } from '../wire/index.ts'
import { type AnswerCache, cacheKey } from './answer-cache.ts'
import { type HeaderMap, type Intent, isolatedHeaders } from './intent.ts'

/** Where an answer to this request is kept. */
export interface CacheSlot {
  readonly cache: AnswerCache
  readonly key: string
  readonly ttlMs: number
  /** False where the caller wants a fresh answer, which is kept all the same. */
  readonly mayRead: boolean
}

export interface CacheParts {
  readonly cache?: AnswerCache | null
  readonly upstreams?: Upstreams | null
  readonly configHash: string
}

/**
 * Null where the route keeps no answers, or the caller wants none kept (`cache-control: no-store`, or the lead itself), or
 * the answer will only say where another one is to be fetched.
 */
export function cacheSlotOf(
  { cache = null, upstreams = null, configHash }: CacheParts,
  path: string,
  request: ChatRequest,
  {
    key,
    intent,
    headers,
  }: { readonly key: Key | null; readonly intent: Intent; readonly headers: HeaderMap },
): CacheSlot | null {
  const route = upstreams?.route(request.model) ?? null
  if (cache === null || route === null || route.cache === null) return null
  if (intent.mode === 'lead' || request.isDeferred === true) return null
  const wishes = (headers['cache-control'] ?? '').toLowerCase()
  if (/\bno-store\b/u.test(wishes)) return null
  const parts = {
    path,
    route: route.name,
    scope: route.cache.scope === 'key' ? (key?.id ?? '') : '',
    // Another configuration may lead elsewhere under the same name.
    configHash,
    headers: isolatedHeaders(headers),
    body: request.body,
  }
  return {
    cache,
    key: cacheKey(parts),
    ttlMs: route.cache.ttlMs,
    mayRead: !/\b(?:no-cache|max-age=0)\b/u.test(wishes),
  }
}

/** Keeps references to what passes, up to a limit; null once there was more. */
export interface Tee {
  readonly source: AsyncIterator<Uint8Array>
  bytes(): Uint8Array | null
}

export function createTee(source: AsyncIterator<Uint8Array>, maxBytes: number): Tee {
  let parts: Uint8Array[] | null = []
  let length = 0
  return {
    source: {
      async next() {
        const next = await source.next()
        if (next.done !== true && parts !== null) {
          length += next.value.length
          if (length > maxBytes) parts = null
          else parts.push(next.value)
        }
        return next
      },
      async return() {
        await source.return?.()
        return { done: true, value: undefined }
      },
    },
    bytes: () => (parts === null ? null : Buffer.concat(parts)),
  }
}
