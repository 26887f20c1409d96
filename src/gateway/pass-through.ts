/** Every path of the API that the gateway does not answer itself: to the lead and back, unrecorded. */
import { modelsBody } from '../wire/index.ts'
import { readBody } from './body.ts'
import type { ChatParts, Incoming } from './chat.ts'
import { callLead, targetOf } from './lead-call.ts'
import { headersFromLead, relay, streamResponse } from './relay.ts'

/**
 * Passes one request on.
 * @throws no-lead, request-invalid, request-too-large, upstream-unavailable, upstream-timeout, cancelled
 */
export async function passThrough(
  { lead, leadHasKey, keys, limits }: ChatParts,
  { request, headers }: Incoming,
): Promise<Response> {
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD'
  const target = targetOf(request.url)
  const call = await callLead(lead, {
    method: request.method,
    target,
    headers,
    body: hasBody && lead !== null ? await readBody(request, limits.maxBodyBytes) : null,
    keepsAuthorization: keys.length === 0 && !leadHasKey,
    callerSignal: request.signal,
  })
  return streamResponse(
    relay(call.response),
    {
      status: call.response.status,
      headers: { ...headersFromLead(call.response.headers), 'x-understudy-served-by': 'lead' },
    },
    call.abort,
  )
}

/** The models of a gateway without a lead: those in whose place its live specialists answer. */
export function ownModels({ cascade }: ChatParts): Response {
  const names = new Set(cascade.live().map(task => task.reportedModel ?? task.name))
  const rows = [...names].sort().map(id => ({ id, created: 0, ownedBy: 'understudy' }))
  return new Response(JSON.stringify(modelsBody(rows)), {
    headers: { 'content-type': 'application/json' },
  })
}
