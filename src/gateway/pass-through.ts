/** Every path of the API that the gateway does not answer itself: to the lead and back, unrecorded. */
import { modelsBody } from '../wire/index.ts'
import type { ExchangeParts } from './exchange.ts'
import type { Incoming } from './incoming.ts'
import { trailHeaders } from './intent.ts'
import { callLead, checkedTarget } from './lead-call.ts'
import { headersFromLead, relay, streamReply } from './relay.ts'
import { jsonReply, type Reply } from './reply.ts'

/**
 * Passes one request on.
 * @throws no-lead, request-invalid, request-too-large, upstream-unavailable, upstream-timeout, cancelled
 */
export async function passThrough(parts: ExchangeParts, incoming: Incoming): Promise<Reply> {
  const { method, headers } = incoming
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const target = checkedTarget(incoming.target)
  const isAnswerable = parts.lead !== null && hasBody
  const body = isAnswerable ? await incoming.readBody(parts.limits.maxBodyBytes) : null
  // Read after the body, which may take long: meanwhile the configuration may have changed.
  const { lead, leadHasKey, keys } = parts
  const response = await callLead(lead, {
    method,
    target,
    headers,
    body,
    keepsAuthorization: keys.length === 0 && !leadHasKey,
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
      },
    },
    incoming.abort,
  )
}

/** The models of a gateway without a lead: those in whose place its live specialists answer. */
export function ownModels({ cascade }: ExchangeParts): Reply {
  const names = new Set(cascade.live().map(task => task.reportedModel ?? task.name))
  const rows = [...names].sort().map(id => ({ id, created: 0, ownedBy: 'understudy' }))
  return jsonReply(modelsBody(rows))
}
