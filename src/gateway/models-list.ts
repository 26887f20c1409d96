/** `GET /v1/models`: the lead's own list as it is; with routes or a restricted key, what this caller may name. */
import { isAllowedModel } from '../access/index.ts'
import { isUnderstudyError } from '../errors.ts'
import { modelIds, modelsBody, tryJson } from '../wire/index.ts'
import { joined } from './body.ts'
import type { Incoming } from './incoming.ts'
import { callLead } from './lead-call.ts'
import { passThrough } from './pass-through.ts'
import { jsonReply, type Reply } from './reply.ts'
import type { ExchangeParts } from './turn.ts'

/** The list of a lead is some kilobytes; what is longer is none. */
const MAX_LIST_BYTES = 4 * 1024 * 1024

/** @throws upstream-unavailable, upstream-timeout, cancelled where the list is the lead's alone */
export async function listModels(parts: ExchangeParts, incoming: Incoming): Promise<Reply> {
  const routes = parts.upstreams?.routes() ?? []
  const isRestricted = (incoming.key?.models ?? null) !== null
  if (parts.lead !== null && routes.length === 0 && !isRestricted)
    return passThrough(parts, incoming)
  const names = new Set(routes.map(({ name }) => name))
  if (parts.lead === null) {
    for (const { reportedModel, name } of parts.cascade.live()) names.add(reportedModel ?? name)
  } else {
    for (const id of await leadModels(parts, incoming)) names.add(id)
  }
  const allowed = [...names].filter(
    name => incoming.key === null || isAllowedModel(incoming.key, name),
  )
  return jsonReply(
    modelsBody(allowed.sort().map(id => ({ id, created: 0, ownedBy: 'understudy' }))),
  )
}

/** What the default lead lists; nothing where there is none, or it does not answer: routes are there all the same. */
async function leadModels(
  { lead, leadHasKey, access }: ExchangeParts,
  incoming: Incoming,
): Promise<readonly string[]> {
  try {
    const { status, body } = await callLead(lead, {
      method: 'GET',
      target: '/v1/models',
      headers: { ...incoming.headers, 'accept-encoding': 'identity' },
      body: null,
      keepsAuthorization: !access.keys.areRequired && !leadHasKey,
      caller: incoming,
    })
    const parts: Uint8Array[] = []
    let length = 0
    for await (const part of body) {
      length += part.length
      if (length > MAX_LIST_BYTES) return []
      parts.push(part)
    }
    return status === 200 ? modelIds(tryJson(new TextDecoder().decode(joined(parts)))?.value) : []
  } catch (error) {
    if (!isUnderstudyError(error) || error.code === 'cancelled') throw error
    return []
  }
}
