/** What the configuration and the environment say about logs, traces and limits, as the gateway's parts take it. */
import type { Config } from '../config/index.ts'
import { postJson } from '../runtimes/index.ts'
import {
  createLogger,
  createSpanExporter,
  type LogFormat,
  type Logger,
  type LogLevel,
  otlpTarget,
} from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { DEFAULT_LIMITS, type GatewayLimits } from './context.ts'
import type { TelemetryOptions } from './observer.ts'

export interface LogSinks {
  /** Notices, one a call, as they are. */
  readonly log?: (text: string) => void
  /** Lines in the configured form, line breaks included: notices and requests. */
  readonly writeLog?: (line: string) => void
}

/** Log lines where somebody takes them; notices for whoever wants only those. */
export function logOf(
  { log = () => {}, writeLog }: LogSinks,
  { settings }: Config,
  clock: Clock,
): { readonly logger: Logger | null; readonly log: (text: string) => void } {
  if (writeLog === undefined) return { logger: null, log }
  const logger = createLogger({
    write: writeLog,
    format: settings.logFormat as LogFormat,
    level: settings.logLevel as LogLevel,
    clock,
  })
  return { logger, log: logger.warn }
}

/** Spans go out only where the standard `OTEL_*` variables name a collector. */
export function telemetryOf(
  { logger, log }: ReturnType<typeof logOf>,
  prices: () => Config['prices'],
  env: Readonly<Record<string, string | undefined>>,
  worker: string,
): TelemetryOptions {
  const target = otlpTarget(env)
  const spans = target === null ? null : createSpanExporter(target, { post: postJson, log })
  return {
    ...(logger && { logger }),
    spans,
    sampledShare: target?.sampledShare ?? 1,
    prices,
    worker,
  }
}

export function limitsOf({ settings }: Config): GatewayLimits {
  const { recordTimeoutMs, maxConcurrent, maxQueued, queueTimeoutMs } = settings
  return {
    ...DEFAULT_LIMITS,
    maxBodyBytes: Math.round(settings.maxBodyMb * 1024 * 1024),
    recordTimeoutMs,
    maxConcurrent,
    maxQueued,
    queueTimeoutMs,
  }
}
