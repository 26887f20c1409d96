/** Where spans go, from the standard `OTEL_*` variables. Reads text, opens nothing. */

export interface OtlpTarget {
  /** Where traces are posted. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly serviceName: string
  /** Attributes of the resource, `service.name` left out. */
  readonly resource: Readonly<Record<string, string>>
  /** Share of the traces begun here that are exported; a caller's own decision stands. */
  readonly sampledShare: number
}

type Env = Readonly<Record<string, string | undefined>>

/** Null where no endpoint is named, tracing is switched off, or another protocol than HTTP with JSON is asked for. */
export function otlpTarget(env: Env): OtlpTarget | null {
  if (/^true$/iu.test(env.OTEL_SDK_DISABLED ?? '') || env.OTEL_TRACES_EXPORTER === 'none') {
    return null
  }
  const own = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT
  const url = own || (base ? `${base.replace(/\/+$/u, '')}/v1/traces` : '')
  if (!/^https?:\/\//u.test(url) || !URL.canParse(url)) return null
  const resource = pairs(env.OTEL_RESOURCE_ATTRIBUTES)
  const { 'service.name': named, ...rest } = resource
  const headers = pairs(env.OTEL_EXPORTER_OTLP_TRACES_HEADERS || env.OTEL_EXPORTER_OTLP_HEADERS)
  const timeout = Number(env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT || env.OTEL_EXPORTER_OTLP_TIMEOUT)
  return {
    url,
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    timeoutMs: timeout > 0 ? timeout : 10_000,
    serviceName: env.OTEL_SERVICE_NAME || named || 'understudy',
    resource: rest,
    sampledShare: sampledShare(env),
  }
}

function sampledShare(env: Env): number {
  const sampler = env.OTEL_TRACES_SAMPLER ?? ''
  if (sampler.endsWith('always_off')) return 0
  if (!sampler.endsWith('traceidratio')) return 1
  const share = Number(env.OTEL_TRACES_SAMPLER_ARG || '1')
  return share >= 0 && share <= 1 ? share : 1
}

/** `a=1,b=2`, values percent-encoded. */
function pairs(text: string | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    (text ?? '').split(',').flatMap(pair => {
      const at = pair.indexOf('=')
      if (at < 1) return []
      return [[pair.slice(0, at).trim(), decoded(pair.slice(at + 1).trim())]]
    }),
  )
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
