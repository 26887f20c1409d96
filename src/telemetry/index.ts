/** Layer 2: what a running gateway shows of itself. */
export { createLogger, isLogLevel, type LogFormat, type Logger, type LogLevel } from './logger.ts'
export { mergeMetrics } from './merge.ts'
export {
  type Counter,
  createMetrics,
  type Histogram,
  type HistogramSample,
  type MetricFamily,
  type Metrics,
  type NumberSample,
  quantileOf,
} from './metrics.ts'
export { type OtlpTarget, otlpTarget } from './otlp-settings.ts'
export { PROMETHEUS_TYPE, renderPrometheus } from './prometheus.ts'
export { createSpanExporter, type PostJson, type SpanExporter } from './span-exporter.ts'
export { formatTraceparent, parseTraceparent, type TraceContext } from './trace-context.ts'
