/** Every path of the API that the gateway does not answer itself: to the lead and back, unrecorded. */
import { modelsBody } from '../wire/index.ts'
import type { ExchangeParts } from './exchange.ts'
import type { Incoming } from './incoming.ts'
import { callLead, checkedTarget } from './lead-call.ts'
import { headersFromLead, relay, streamReply } from './relay.ts'
import { jsonReply, type Reply } from './reply.ts'

/**
 * Passes one request on.
 * @throws no-lead, request-invalid, request-too-large, upstream-unavailable, upstream-timeout, cancelled
 */
export async function passThrough(
  { lead, leadHasKey, keys, limits }: ExchangeParts,
  incoming: Incoming,
): Promise<Reply> {
  const { method, headers } = incoming
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const target = checkedTarget(incoming.target)
  const response = await callLead(lead, {
    method,
    target,
    headers,
    body: hasBody && lead !== null ? await incoming.readBody(limits.maxBodyBytes) : null,
    keepsAuthorization: keys.length === 0 && !leadHasKey,
    caller: incoming,
  })
  return streamReply(
    relay(response),
    {
      status: response.status,
      headers: { ...headersFromLead(response.headers), 'x-understudy-served-by': 'lead' },
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
