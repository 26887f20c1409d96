/** The leads that a configuration names: one by its address, or several upstreams with routes. Sends nothing itself. */
import type { Config, UpstreamConfig } from '../config/index.ts'
import { type Lead, openRemoteLead } from '../runtimes/index.ts'
import { type OpenUpstreams, openUpstreams } from '../upstreams/index.ts'
import { type Clock, randomUnit } from '../util/index.ts'
import { type OpenLeadOptions, openLead } from './open-lead.ts'

export interface Leads {
  /** What answers for the gateway; null: specialists only. */
  readonly lead: Lead | null
  /** The same, where there are several. */
  readonly upstreams: OpenUpstreams | null
  /** The lead that was named by its address, with what it was opened from. */
  readonly own: { readonly lead: Lead; readonly from: string } | null
}

export interface OpenLeadsOptions extends Omit<OpenLeadOptions, 'key'> {
  /** `URL`, `replay:FILE` or `local:MODEL`, in place of the configuration's; or a lead. */
  readonly lead?: string | Lead | null
  readonly clock: Clock
}

/** Opens what the configuration names; what `earlier` has open already, unchanged, is taken over. */
export async function openLeads(
  config: Pick<Config, 'settings' | 'upstreams' | 'routes'>,
  options: OpenLeadsOptions,
  earlier: Leads | null = null,
): Promise<Leads> {
  const { settings, upstreams, routes } = config
  const named = options.lead === undefined ? settings.lead : options.lead
  const isUpstream = upstreams.some(({ name }) => name === named)
  const own =
    isUpstream || named === null ? null : await openOwn(named, settings.leadKey, options, earlier)
  if (upstreams.length === 0 && routes.length === 0) {
    return { lead: own?.lead ?? null, upstreams: null, own }
  }
  const only = upstreams.length === 1 ? (upstreams[0]?.name ?? null) : null
  try {
    const opened = await openUpstreams({
      upstreams,
      routes,
      fallThrough: isUpstream ? (named as string) : (own?.lead ?? only),
      open: upstream => openUpstream(upstream, options),
      clock: options.clock,
      random: randomUnit,
      earlier: earlier?.upstreams ?? null,
    })
    return { lead: opened, upstreams: opened, own }
  } catch (error) {
    if (own !== null && own.lead !== earlier?.own?.lead) await own.lead.close()
    throw error
  }
}

async function openOwn(
  named: string | Lead,
  key: string | null,
  options: OpenLeadsOptions,
  earlier: Leads | null,
): Promise<NonNullable<Leads['own']>> {
  if (typeof named === 'object') return { lead: named, from: '' }
  const from = JSON.stringify([named, key])
  if (earlier?.own?.from === from) return earlier.own
  return { lead: await openLead(named, { ...options, key }), from }
}

async function openUpstream(config: UpstreamConfig, options: OpenLeadsOptions): Promise<Lead> {
  const { url, apiKey, apis, timeouts } = config
  if (/^(?:replay|local):/u.test(url)) return openLead(url, { ...options, key: apiKey })
  return openRemoteLead({
    url,
    key: apiKey,
    keyHeaders: apis.map(api => (api === 'anthropic' ? 'x-api-key' : 'authorization')),
    connectTimeoutMs: timeouts.connectMs,
    // The route may allow more or less, so its own limits are kept around each try.
    headersTimeoutMs: 0,
    bodyTimeoutMs: 0,
  })
}

/** Lets requests under way end, then closes what `successor` did not take over. */
export async function retireLeads(leads: Leads, successor: Leads): Promise<void> {
  await leads.upstreams?.retire(successor.upstreams)
  const own = leads.own?.lead
  if (own === undefined || own === successor.own?.lead) return
  await (own.drain?.() ?? own.close())
}

/** Cuts everything. */
export async function closeLeads({ upstreams, own }: Leads): Promise<void> {
  await upstreams?.close()
  await own?.lead.close()
}
