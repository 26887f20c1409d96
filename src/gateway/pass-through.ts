/** Every path of the API that the gateway does not answer itself: to the lead and back, unrecorded. */
import { UnderstudyError } from '../errors.ts'
import type { Lead } from '../runtimes/index.ts'
import { modelIn, wireAt } from '../wire/index.ts'
import type { GatewayLimits } from './context.ts'
import { askedOf, type Incoming, type RawRequest } from './incoming.ts'
import { trailHeaders } from './intent.ts'
import { callLead, checkedTarget, lenientPath } from './lead-call.ts'
import { headersFromLead, relay, streamReply } from './relay.ts'
import type { Reply } from './reply.ts'
import type { ExchangeParts } from './turn.ts'

/**
 * Passes one request on.
 * @throws no-lead, request-invalid, request-too-large, upstream-unavailable, upstream-timeout, cancelled
 */
export async function passThrough(parts: ExchangeParts, incoming: Incoming): Promise<Reply> {
  const { method, headers } = incoming
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const target = checkedTarget(incoming.target)
  refuseSpelling(target)
  const isAnswerable = parts.lead !== null && hasBody
  const body = isAnswerable ? await incoming.readBody(parts.limits.maxBodyBytes) : null
  // Read after the body, which may take long: meanwhile the configuration may have changed.
  const { lead, leadHasKey, access } = parts
  const bytes = body ?? new Uint8Array()
  const ticket = access.admit(incoming.key, askedOf(incoming, bytes, modelIn(bytes)))
  if (method !== 'GET' && method !== 'HEAD') checkCountable(incoming, target.split('?')[0] ?? '')
  // What passes unread has no tokens to count, so only the request is.
  await ticket.release()
  const response = await callLead(lead, {
    method,
    target,
    headers,
    body,
    keepsAuthorization: !access.keys.areRequired && !leadHasKey,
    caller: incoming,
  })
  return streamReply(
    relay(response),
    {
      status: response.status,
      headers: {
        ...headersFromLead(response.headers),
        'x-understudy-served-by': 'lead',
        ...trailHeaders(response.trail),
        ...ticket.headers(),
      },
    },
    incoming.abort,
  )
}

/**
 * A path that a lead may take for one whose requests are recorded and counted must not be a way around that.
 * @throws request-invalid
 */
function refuseSpelling(target: string): void {
  const path = lenientPath(target)
  if (wireAt(path) === null || target === path || target.startsWith(`${path}?`)) return
  throw new UnderstudyError('request-invalid', `The path is another spelling of ${path}.`, {
    help: `Call it as ${path}.`,
  })
}

/** What costs money that nobody counts must not be a way around a budget. @throws model-forbidden */
export function checkCountable({ key }: Pick<Incoming, 'key'>, what: string): void {
  if (key === null || key.budget === null) return
  throw new UnderstudyError(
    'model-forbidden',
    `The key '${key.name}' has a budget, and what ${what.slice(0, 100)} costs is not counted.`,
    { help: 'Use a key without a budget, or a path whose answers are recorded.' },
  )
}

/** A request about the gateway itself, to the process that can answer it; as it is, so that the owner checks the key. */
export async function forwardToOwner(
  owner: Lead,
  raw: RawRequest,
  { maxBodyBytes }: Pick<GatewayLimits, 'maxBodyBytes'>,
): Promise<Reply> {
  const hasBody = raw.method !== 'GET' && raw.method !== 'HEAD'
  const response = await owner.send({
    method: raw.method,
    path: raw.target,
    headers: raw.headers,
    body: hasBody ? await raw.readBody(maxBodyBytes) : null,
    signal: raw.signal,
  })
  return streamReply(relay(response), response, raw.abort)
}
