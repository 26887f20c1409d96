/** Gauges of upstreams and of the response cache. A label is a name of the configuration, never a caller's word. */
import type { Metrics } from '../telemetry/index.ts'
import type { UpstreamState } from '../upstreams/index.ts'
import type { AnswerCache } from './answer-cache.ts'

export interface UpstreamSources {
  readonly upstreams: () => readonly UpstreamState[]
  /** Null: there is no cache. */
  readonly cache: () => AnswerCache['counts'] | null
  /** Tells the processes of one gateway apart. */
  readonly worker: string
}

export function addUpstreamMetrics(
  { gauge }: Pick<Metrics, 'gauge'>,
  { upstreams, cache, worker }: UpstreamSources,
): void {
  const each = (read: (state: UpstreamState) => number) => () =>
    upstreams().map(state => ({
      labels: { worker, upstream: state.name },
      value: read(state),
    }))
  gauge(
    'understudy_upstream_up',
    'Whether requests are sent to an upstream: in health, and its breaker closed.',
    each(({ isHealthy, breaker }) => (isHealthy && breaker === 'closed' ? 1 : 0)),
  )
  gauge(
    'understudy_upstream_active_requests',
    'Requests under way at an upstream.',
    each(({ activeCount }) => activeCount),
  )
  gauge(
    'understudy_upstream_tries',
    'Tries at an upstream since it was opened.',
    each(({ tryCount }) => tryCount),
  )
  gauge(
    'understudy_upstream_failures',
    'Tries at an upstream that failed, since it was opened.',
    each(({ failureCount }) => failureCount),
  )
  const ofCache = (name: 'hits' | 'misses' | 'bytes') => () => {
    const counts = cache()
    return counts === null ? [] : [{ labels: { worker }, value: counts[name] }]
  }
  gauge('understudy_cache_hits', 'Answers given again since the start.', ofCache('hits'))
  gauge('understudy_cache_misses', 'Answers looked for and not kept.', ofCache('misses'))
  gauge('understudy_cache_bytes', 'Memory of the answers kept.', ofCache('bytes'))
}
