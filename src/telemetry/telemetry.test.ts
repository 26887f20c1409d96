import { describe, expect, test } from 'vitest'
import { fixedClock } from '../util/index.ts'
import { createLogger } from './logger.ts'
import { mergeMetrics } from './merge.ts'
import { createMetrics, quantileOf } from './metrics.ts'
import { otlpTarget } from './otlp-settings.ts'
import { renderPrometheus } from './prometheus.ts'
import { createSpanExporter } from './span-exporter.ts'
import { formatTraceparent, parseTraceparent } from './trace-context.ts'

describe('metrics', () => {
  const sample = () => {
    const metrics = createMetrics()
    const requests = metrics.counter('requests_total', 'Requests.', ['tier', 'status'])
    requests.add(2, 'lead', '200')
    requests.add(1, 'a"b\\c\nd', '500')
    const seconds = metrics.histogram('seconds', 'Time.', [0.1, 1], ['tier'])
    for (const value of [0.05, 0.1, 0.5, 3]) seconds.observe(value, 'lead')
    metrics.gauge('queue', 'Waiting.', () => 7)
    return metrics.families()
  }

  test('render as Prometheus reads them, hostile label values included', () => {
    expect(renderPrometheus(sample())).toBe(
      [
        '# HELP requests_total Requests.',
        '# TYPE requests_total counter',
        'requests_total{tier="lead",status="200"} 2',
        'requests_total{tier="a\\"b\\\\c\\nd",status="500"} 1',
        '# HELP seconds Time.',
        '# TYPE seconds histogram',
        'seconds_bucket{tier="lead",le="0.1"} 2',
        'seconds_bucket{tier="lead",le="1"} 3',
        'seconds_bucket{tier="lead",le="+Inf"} 4',
        'seconds_sum{tier="lead"} 3.65',
        'seconds_count{tier="lead"} 4',
        '# HELP queue Waiting.',
        '# TYPE queue gauge',
        'queue 7',
        '',
      ].join('\n'),
    )
  })

  test('of two processes add up to those of one that did both', () => {
    const [requests, seconds, queue] = mergeMetrics([sample(), sample()])
    expect(requests?.samples[0]).toMatchObject({ labels: { tier: 'lead' }, value: 4 })
    expect(seconds?.samples[0]).toMatchObject({ counts: [4, 2, 2], sum: 7.3 })
    expect(queue?.samples).toEqual([{ labels: {}, value: 14 }])
  })

  test('keep a bounded number of label sets, and lose no count', () => {
    const metrics = createMetrics()
    const models = metrics.counter('models_total', 'By model.', ['model'])
    for (let i = 0; i < 5_000; i++) models.add(1, `model-${i}`)
    const samples = metrics.families()[0]?.samples as { labels: object; value: number }[]
    expect(samples.length).toBeLessThan(600)
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(5_000)
  })

  test('give quantiles within their bucket', () => {
    expect(quantileOf([1, 2, 4], [0, 10, 0, 0], 0.5)).toBe(1.5)
    expect(quantileOf([1, 2, 4], [5, 5, 0, 0], 0.5)).toBe(1)
    expect(quantileOf([1, 2, 4], [0, 0, 0, 3], 0.99)).toBe(4)
    expect(quantileOf([1], [0, 0], 0.5)).toBeNull()
  })
})

describe('log lines', () => {
  const lines = (format: 'text' | 'json') => {
    const written: string[] = []
    const logger = createLogger({ write: line => written.push(line), format, clock: fixedClock() })
    return { written, logger }
  }
  const hostile = 'x\n2026 ERROR forged\u001b[2J\u009b2J\u202e\u2028end'

  test.each(['text', 'json'] as const)('as %s stay one line, whatever they hold', format => {
    const { written, logger } = lines(format)
    logger.warn(hostile, { model: hostile })
    const [line = ''] = written
    expect(line.endsWith('\n')).toBe(true)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be left
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/u)
    if (format === 'json')
      expect(JSON.parse(line)).toMatchObject({ message: hostile, model: hostile })
  })

  test('hold no credentials', () => {
    const { written, logger } = lines('json')
    logger.error('401 for Bearer abc.def-123 at https://u:pass@host/ with sk-proj-abcdefgh1234')
    logger.warn(`key usk_0123456789ab_${'abcdefgh'.repeat(6)}`)
    expect(written.join()).not.toMatch(/abc\.def|pass@|abcdefgh/u)
    expect(written[0]).toContain('https://u:[redacted]@host/')
  })

  test('below the level are not made', () => {
    const written: string[] = []
    const logger = createLogger({ write: line => written.push(line), level: 'warn' })
    logger.info('no')
    logger.debug('no')
    expect(logger.isOn('info')).toBe(false)
    logger.error('yes')
    expect(written).toHaveLength(1)
  })
})

describe('trace context', () => {
  const header = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  test('goes through unchanged', () => {
    const context = parseTraceparent(header)
    expect(context?.isSampled).toBe(true)
    expect(context && formatTraceparent(context)).toBe(header)
  })
  test.each([
    undefined,
    '',
    'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
    `${header}-more`,
    header.toUpperCase(),
    'x'.repeat(10_000),
  ])('is none in %j', text => {
    expect(parseTraceparent(text)).toBeNull()
  })
  test('of a later version is read as far as this one goes', () => {
    expect(parseTraceparent(`01${header.slice(2)}-more`)?.spanId).toBe('b7ad6b7169203331')
  })
})

describe('spans', () => {
  test('go where the standard variables say', () => {
    expect(otlpTarget({})).toBeNull()
    expect(otlpTarget({ OTEL_EXPORTER_OTLP_ENDPOINT: 'ftp://x' })).toBeNull()
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' }
    expect(otlpTarget({ ...env, OTEL_SDK_DISABLED: 'true' })).toBeNull()
    expect(otlpTarget({ ...env, OTEL_TRACES_EXPORTER: 'none' })).toBeNull()
    expect(
      otlpTarget({
        ...env,
        OTEL_EXPORTER_OTLP_HEADERS: 'Api-Key=a%20b, x=1',
        OTEL_RESOURCE_ATTRIBUTES: 'service.name=desk,deployment.environment=prod',
        OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0.25',
      }),
    ).toEqual({
      url: 'http://collector:4318/v1/traces',
      headers: { 'api-key': 'a b', x: '1' },
      timeoutMs: 10_000,
      serviceName: 'desk',
      resource: { 'deployment.environment': 'prod' },
      sampledShare: 0.25,
    })
  })

  test('that no collector takes are counted, and said once; the end does not wait for each batch', async () => {
    const said: string[] = []
    let postCount = 0
    const target = otlpTarget({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' })
    if (target === null) throw new Error('no target')
    const exporter = createSpanExporter(target, {
      post: async () => {
        postCount++
        return 503
      },
      log: text => said.push(text),
    })
    const span = {
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
      parentSpanId: null,
      name: 'chat m',
      startMs: 0,
      endMs: 1,
      attributes: {},
      error: null,
    }
    for (let i = 0; i < 10_000; i++) exporter.export(span)
    await exporter.close()
    expect(exporter.droppedCount).toBe(10_000)
    expect(said).toHaveLength(1)
    expect(postCount).toBe(1)
  })
})
