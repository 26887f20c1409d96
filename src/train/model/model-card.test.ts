import { describe, expect, it } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { buildCertificate, type CertificationOutcome } from '../../evals/index.ts'
import { type ModelCardRecord, renderModelCard } from './model-card.ts'

const claim: CertificationOutcome = {
  claimed: true,
  promise: 'selective',
  targetRisk: 0.05,
  delta: 0.1,
  threshold: 0.8125,
  n: 2001,
  servedCount: 1807,
  lossSum: 61,
  coverage: 1807 / 2001,
  riskUpperBound: 0.0437,
  method: 'fixed-sequence Clopper–Pearson',
}

const certificate = (outcome: CertificationOutcome) =>
  buildCertificate({
    id: 'cert-01',
    time: '2026-11-26T10:00:00Z',
    subject: {
      task: 'task-7',
      specialist: 'abc123',
      leadRequested: ['big-1'],
      leadReported: ['big-1-2026-10', 'big-1-2026-11'],
      reference: 'lead',
      runtime: 'onnxruntime-node 1.30.0',
      kernelFamily: 'x64-avx2',
    },
    set: {
      id: 'set-3',
      look: 2,
      delta: 0.0152,
      oldestTime: '2026-10-01T00:00:00Z',
      newestTime: '2026-11-20T00:00:00Z',
    },
    outcome,
  })

const record: ModelCardRecord = {
  name: 'intent of the desk',
  baseModel: 'all-MiniLM-L6-v2',
  task: 'single-label',
  labels: ['refund', 'card_arrival'],
  dataWindow: { from: '2026-09-01', to: '2026-11-20' },
  rowCounts: { training: 6401, selection: 1603, certification: 2001 },
  recipe: { method: 'lora', rank: 12, targetModules: ['query', 'value'], layerCount: null },
  metrics: [
    { name: 'accuracy', value: 0.9312, low: 0.92, high: 0.94, measuredOn: 'certification rows' },
    { name: 'loss', value: 0.271, measuredOn: 'selection rows' },
  ],
  certificate: certificate(claim),
  noCertificate: null,
  notTested: ['Languages other than English.', 'Texts beyond 256 tokens.'],
  licence: 'apache-2.0',
  versions: { 'understudy-llm': '0.1.0', 'onnxruntime-node': '1.30.0' },
}

/** What a reader sees: escapes of punctuation taken back (CommonMark 2.4). */
const seen = (text: string) => text.replace(/\\([!-/:-@[-`{-~])/g, '$1')

/** All strings and numbers of a value, keys of plain objects included. */
function facts(value: unknown): string[] {
  if (value === null || typeof value === 'boolean') return []
  if (typeof value !== 'object') return [`${value}`]
  if (Array.isArray(value)) return value.flatMap(facts)
  return Object.values(value).flatMap(facts)
}

describe('renderModelCard', () => {
  it('says every fact of the record', () => {
    const card = seen(renderModelCard(record))
    const missing = facts(record).filter(fact => !card.includes(fact))
    expect(missing).toEqual([])
    for (const key of [...Object.keys(record.recipe), ...Object.keys(record.rowCounts)]) {
      expect(card).toContain(`| ${key} |`)
    }
    expect(card).toContain('With a confidence of 90 %, at most 5 % of the answers it serves differ')
    expect(card).toContain('serves 90.3 % of distinct inputs')
  })

  it('opens with front matter that Hugging Face reads', () => {
    const [, front = ''] = renderModelCard(record).split('---\n')
    expect(parseYaml(front)).toEqual({
      license: 'apache-2.0',
      base_model: 'all-MiniLM-L6-v2',
      pipeline_tag: 'text-classification',
      tags: ['understudy', 'single-label'],
    })
  })

  it('says why nothing is claimed', () => {
    const none: CertificationOutcome = {
      claimed: false,
      promise: 'marginal',
      targetRisk: 0.01,
      delta: 0.1,
      n: 40,
      because: 'only 40 distinct inputs are left.',
      code: 'too-few-examples',
      moreRequests: 260,
    }
    const refused = seen(renderModelCard({ ...record, certificate: certificate(none) }))
    expect(refused).toContain('No claim at a target risk of 1 %, because only 40 distinct inputs')
    expect(refused).not.toContain('With a confidence')
    const absent = renderModelCard({
      ...record,
      certificate: null,
      noCertificate: 'no rows were held out.',
    })
    expect(absent).toContain('No certificate, because no rows were held out.')
    const marginal = { ...claim, promise: 'marginal' } as const
    expect(renderModelCard({ ...record, certificate: certificate(marginal) })).toContain(
      'it serves an answer that differs to at most 5 % of all requests',
    )
  })

  it('says of an adapter for pairs which token types it learned with', () => {
    const pair = { ...record, task: 'pair-classification' } as const
    expect(seen(renderModelCard(pair))).toContain('pass `token_type_ids` of zeros')
    const full = { ...pair, recipe: { method: 'full' } }
    for (const other of [full, record]) {
      expect(seen(renderModelCard(other))).not.toContain('token_type_ids')
    }
  })

  it('is sober about what is empty or unknown', () => {
    const card = renderModelCard({
      ...record,
      labels: [],
      metrics: [],
      notTested: [],
      rowCounts: {},
      dataWindow: null,
      licence: null,
    })
    for (const text of [
      'None were measured',
      'names nothing',
      'times of its rows are unknown',
      'none chosen',
    ]) {
      expect(card).toContain(text)
    }
    expect(card).not.toContain('license:')
    expect(card).not.toMatch(/\n{3}|undefined/)
  })

  const hostile = [
    'a\nb',
    'a\r\n\r\n# Heading',
    '\n---\nlicense: mit\n---\n',
    '---',
    '- item',
    '+ item',
    '1. item',
    'a | b',
    'a \\| b',
    '`code`',
    '``` \nfence',
    '<script>alert(1)</script>',
    '<!-- comment',
    '&lt;b&gt;',
    '**bold** _under_ ~~gone~~',
    '[link](https://example.org)',
    '![image](x.png)',
    'https://example.org www.example.org a@example.org',
    '"quoted": \'yaml\' #no',
    '\u2028line\u0085next\u202eturned\u0000',
    ' ',
    '',
    '\ud800',
  ]
  it.each(hostile)('keeps %j in its place', text => {
    const plain = renderModelCard({ ...record, labels: ['x', 'y'] })
    const card = renderModelCard({
      ...record,
      name: text,
      baseModel: text,
      labels: [text, 'y'],
      notTested: [text, 'Texts beyond 256 tokens.'],
      recipe: { ...record.recipe, method: text },
      licence: text,
    })
    // The same lines in the same places, so nothing began or ended that was not there before.
    expect(card.split(/[\n\r\u2028\u2029\u0085]/).length).toBe(plain.split('\n').length)
    const [, front = ''] = card.split('\n---\n', 1)[0]?.split('---\n') ?? []
    const { base_model, license, ...rest } = parseYaml(front)
    expect([base_model, license]).toEqual([text, text])
    expect(Object.keys(rest)).toEqual(['pipeline_tag', 'tags'])
    const row = card.split('\n').find(line => line.startsWith('| 0 |')) ?? ''
    const cell = row.slice('| 0 | '.length, -' |'.length)
    expect(cell).not.toMatch(/(?<!\\)(\\\\)*[`*_[\]<>|~&!@]/)
    expect(cell).not.toMatch(/https?:\/\/|www\.e/)
    const item = card.split('\n').at(card.split('\n').indexOf('## Not tested') + 2)
    expect(item).toMatch(/^- (?![-+#>=]|\d+[.)])/)
    const shown = seen(cell)
    const isPlain = /^[ -~]+$/.test(text) && text.trim() === text
    if (isPlain) expect(shown).toBe(text)
    else expect(shown).toMatch(/\\u[0-9a-f]{4}|^" "$|^$/)
  })
})
