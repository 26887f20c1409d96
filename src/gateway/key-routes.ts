/** Virtual keys over the API: made, listed, rotated, revoked. A token is in the answer that made it, and nowhere after. */
import { Hono } from 'hono'
import type { Access, Key } from '../access/index.ts'
import { parseKeyRequest } from '../config/index.ts'
import { UnderstudyError } from '../errors.ts'
import { parseDuration } from '../util/index.ts'
import { isObject, parseJson } from '../wire/index.ts'
import { decodeUtf8, readBody } from './body.ts'
import { jsonReply, toResponse } from './reply.ts'

const DEFAULT_GRACE = '24h'
const LONGEST_GRACE_MS = 90 * 86_400_000

/** Routes relative to `/understudy/v1/keys`. */
export function createKeyRoutes(access: Access, maxBodyBytes: () => number): Hono {
  const { keys } = access
  const bodyOf = async (request: Request): Promise<unknown> => {
    const text = decodeUtf8(await readBody(request, maxBodyBytes()))
    return text === '' ? {} : parseJson(text)
  }
  const shown = (key: Key): object => keyView(access, key)
  return new Hono()
    .get('/', () => json({ data: keys.list().map(shown) }))
    .post('/', async c => {
      const { name, rules } = parseKeyRequest(await bodyOf(c.req.raw))
      const { key, token } = await keys.create(name, rules)
      return json({ ...shown(key), token }, 201)
    })
    .post('/:id/rotate', async c => {
      const graceMs = graceOf(await bodyOf(c.req.raw))
      const { key, token } = await keys.rotate(c.req.param('id'), graceMs)
      return json({ ...shown(key), token })
    })
    .delete('/:id', async c => json(shown(await keys.revoke(c.req.param('id')))))
}

function json(value: unknown, status = 200): Response {
  return toResponse(jsonReply(value, status, { 'cache-control': 'no-store' }))
}

/** @throws request-invalid */
function graceOf(body: unknown): number {
  const grace = isObject(body) ? (body.grace ?? DEFAULT_GRACE) : null
  const ms = typeof grace === 'string' ? parseDuration(grace) : null
  if (ms !== null && ms <= LONGEST_GRACE_MS) return ms
  throw new UnderstudyError('request-invalid', 'grace must be a length of time of at most 90d.', {
    help: 'Send {"grace": "24h"}; "0s" ends the old token at once.',
    details: { param: 'grace' },
  })
}

function keyView(access: Access, key: Key): object {
  const { expiresMs, createdMs, revokedMs, ...rest } = key
  const { total, period } = access.usageOf(key)
  return {
    ...rest,
    expiresTime: timeOf(expiresMs),
    createdTime: timeOf(createdMs),
    revokedTime: timeOf(revokedMs),
    usage: { total, period },
  }
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
