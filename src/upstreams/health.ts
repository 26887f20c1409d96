/** Active health checks: asks an upstream regularly whether it is there. Real requests tell the breaker, not this. */
import type { Upstream } from './attempt.ts'

/** Starts the checks that the configuration asks for; returns what stops them. */
export function startHealthChecks(upstreams: readonly Upstream[]): () => void {
  const stop = new AbortController()
  const timers = upstreams.flatMap(upstream => {
    const { health } = upstream.config
    if (health === null) return []
    let isAsking = false
    const check = async (): Promise<void> => {
      if (isAsking) return
      isAsking = true
      const isThere = await answers(upstream, stop.signal)
      isAsking = false
      // A check that was stopped says nothing; another configuration's may be at work on the same upstream.
      if (!stop.signal.aborted) upstream.isHealthy = isThere
    }
    void check()
    return [setInterval(check, health.everyMs).unref()]
  })
  return () => {
    stop.abort()
    for (const timer of timers) clearInterval(timer)
  }
}

/** Any answer that is no failure of the server counts: a path that wants other rights is still served by someone. */
async function answers({ config, lead }: Upstream, stopped: AbortSignal): Promise<boolean> {
  const { path = '/v1/models', timeoutMs = 2_000 } = config.health ?? {}
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(timeoutMs)])
  const version = config.apis.includes('anthropic') ? { 'anthropic-version': '2023-06-01' } : {}
  try {
    const request = { method: 'GET', path, headers: version, body: null, signal }
    const { status, body } = await lead.send(request)
    for await (const _ of body) signal.throwIfAborted()
    return status < 500
  } catch {
    return false
  }
}
