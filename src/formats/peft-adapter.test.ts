import { describe, expect, it } from 'vitest'
import { isUnderstudyError } from '../errors.ts'
import {
  type LoraModule,
  loraScaling,
  type PeftAdapter,
  readPeftAdapter,
  writePeftAdapter,
} from './peft-adapter.ts'
import { float32Tensor, type SafetensorsTensor, writeSafetensors } from './safetensors.ts'

const QUERY = 'bert.encoder.layer.0.attention.self.query'
const VALUE = 'bert.encoder.layer.1.attention.self.value'
const ramp = (length: number, step = 1) => Float32Array.from({ length }, (_, i) => (i - 2) * step)

function lora(rank: number, change: Partial<LoraModule> = {}): LoraModule {
  return {
    a: ramp(rank * 3),
    b: ramp(5 * rank, 0.5),
    inSize: 3,
    outSize: 5,
    rank,
    alpha: 4,
    ...change,
  }
}

function adapter(change: Partial<PeftAdapter> = {}): PeftAdapter {
  return {
    rank: 2,
    alpha: 4,
    isRankStabilised: false,
    dropout: 0.1,
    targetModules: ['query', 'value'],
    baseModel: 'all-minilm-l6-v2',
    taskType: 'SEQ_CLS',
    modules: new Map([
      [QUERY, lora(2)],
      [VALUE, lora(3, { alpha: 7.5 })],
    ]),
    saved: new Map([['classifier.weight', float32Tensor(ramp(6), [2, 3])]]),
    ...change,
  }
}

/** Both files of the sample, the configuration changed key by key, tensors added, replaced or (null) removed. */
function files(
  config: Record<string, unknown> = {},
  tensors: Record<string, SafetensorsTensor | null> = {},
) {
  const all: Record<string, SafetensorsTensor | null> = {
    [`base_model.model.${QUERY}.lora_A.weight`]: float32Tensor(ramp(6), [2, 3]),
    [`base_model.model.${QUERY}.lora_B.weight`]: float32Tensor(ramp(10), [5, 2]),
    ...tensors,
  }
  const kept = Object.entries(all).filter(
    (one): one is [string, SafetensorsTensor] => one[1] !== null,
  )
  return {
    config: JSON.stringify({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 4,
      target_modules: ['query'],
      ...config,
    }),
    weights: writeSafetensors(new Map(kept)),
  }
}

const A = `base_model.model.${QUERY}.lora_A.weight`
const B = `base_model.model.${QUERY}.lora_B.weight`

describe('writePeftAdapter', () => {
  it('writes what readPeftAdapter reads back, own ranks and alphas of modules included', () => {
    expect(readPeftAdapter(writePeftAdapter(adapter()))).toEqual(adapter())
  })

  it('writes the names and keys that PEFT looks for', () => {
    const { config, weights } = writePeftAdapter(adapter())
    expect(JSON.parse(config)).toMatchObject({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 4,
      target_modules: ['query', 'value'],
      modules_to_save: ['classifier'],
      rank_pattern: { [VALUE]: 3 },
      alpha_pattern: { [VALUE]: 7.5 },
    })
    const header = new TextDecoder().decode(weights.subarray(8, 600))
    expect(header).toContain(`"${A}":{"dtype":"F32","shape":[2,3]`)
    expect(header).toContain('"base_model.model.classifier.weight"')
  })

  it('halves the matrices where asked to, and refuses what cannot be read back', () => {
    const half = readPeftAdapter(writePeftAdapter(adapter(), { type: 'F16' }))
    expect(half.modules).toEqual(adapter().modules)
    const broken = (module: Partial<LoraModule>) => () =>
      writePeftAdapter(adapter({ modules: new Map([[QUERY, lora(2, module)]]) }))
    expect(broken({ a: ramp(5) })).toThrow(/query has 5 and 10 values for A \[2,3\] and B \[5,2\]/)
    expect(broken({ b: Float32Array.of(...ramp(9), Number.NaN) })).toThrow(/not a finite number/)
    expect(() => writePeftAdapter(adapter({ targetModules: ['key'] }))).toThrow(/does not name it/)
  })
})

describe('readPeftAdapter', () => {
  it('scales by alpha over rank, or over its root', () => {
    const { isRankStabilised, modules } = readPeftAdapter(files({ use_rslora: true }))
    const module = modules.get(QUERY) as LoraModule
    expect(loraScaling({ isRankStabilised }, module)).toBeCloseTo(4 / Math.SQRT2, 12)
    expect(loraScaling({ isRankStabilised: false }, module)).toBe(2)
  })

  it.each<[Record<string, number>, number]>([
    [{ 'attention.self.query': 3, query: 5 }, 3],
    [{ uery: 3, query: 5 }, 5],
    [{ '^encoder.layer.0.attention.self.query': 3 }, 4],
    [{ '^bert\\.encoder\\.layer\\.\\d\\.attention\\.self\\.query$': 3 }, 3],
    [{ 'key|query': 3 }, 3],
    [{}, 4],
  ])('gives a module the alpha of the first pattern that matches its path: %j', (pattern, alpha) => {
    const read = readPeftAdapter(
      files({ r: 9, rank_pattern: { query: 2 }, alpha_pattern: pattern }),
    )
    expect(read.modules.get(QUERY)).toMatchObject({ rank: 2, alpha })
  })

  it('has PEFT’s defaults for keys that are absent, and passes over keys that are off', () => {
    const eight = { [A]: float32Tensor(ramp(24), [8, 3]), [B]: float32Tensor(ramp(40), [5, 8]) }
    const read = readPeftAdapter(
      files(
        { r: undefined, lora_alpha: undefined, use_dora: false, new_key: null, other: {} },
        eight,
      ),
    )
    expect([read.rank, read.alpha, read.dropout, read.taskType]).toEqual([8, 8, 0, null])
  })

  it('takes what is saved whole by the end of a path, at any depth and with dots in it', () => {
    const names = ['heads.classifier.weight', 'x.out.dense.inner.bias']
    const saved = Object.fromEntries(names.map(name => [`base_model.model.${name}`, one]))
    const read = readPeftAdapter(files({ modules_to_save: ['classifier', 'out.dense'] }, saved))
    expect([...read.saved.keys()]).toEqual(names)
    for (const modules_to_save of [
      ['lassifier', 'out.dense'],
      ['classifier', 'inner.bias'],
    ]) {
      expect(() => readPeftAdapter(files({ modules_to_save }, saved))).toThrow(/is neither/)
    }
  })

  const one = float32Tensor(Float32Array.of(1), [1])
  const withNaN = float32Tensor(Float32Array.of(1, 2, 3, 4, 5, Number.NaN), [2, 3])
  const huge = `{"peft_type":"LORA","x":"${'x'.repeat(1_000_000)}"}`
  const damaged: [string, { config: string; weights: Uint8Array }, RegExp][] = [
    ['config that is not JSON', { ...files(), config: '{"r":' }, /config.json .* not JSON/],
    ['config that is a list', { ...files(), config: '[]' }, /not a JSON object/],
    ['config of a megabyte', { ...files(), config: huge }, /1000027 characters/],
    [
      'config that nests deeply',
      { ...files(), config: `{"peft_type":"LORA","x":${'['.repeat(4e5)}${']'.repeat(4e5)}}` },
      /sets x to a list/,
    ],
    ['key given twice', { ...files(), config: '{"r":1,"r":2}' }, /"r" twice/],
    ['rank of zero', files({ r: 0 }), /r is 0, not a rank/],
    ['rank that is text', files({ r: '2' }), /r is "2", not a rank/],
    ['rank beyond reason', files({ r: 1e12 }), /not a rank/],
    ['alpha that is text', files({ lora_alpha: '4' }), /lora_alpha is "4", not a number/],
    ['flag that is text', files({ use_rslora: 'yes' }), /use_rslora is "yes"/],
    ['task that is a number', files({ task_type: 3 }), /task_type is 3, not text/],
    ['targets that are numbers', files({ target_modules: [1] }), /not a name/],
    ['targets without end', files({ target_modules: Array(1001).fill('q') }), /at most 1000/],
    ['pattern that is a list', files({ rank_pattern: [] }), /rank_pattern is not an object/],
    [
      'pattern with a wrong rank',
      files({ rank_pattern: { query: 3 } }),
      /\[2,3\], .* asks for 3 rows/,
    ],
    ['pattern with no rank', files({ rank_pattern: { q: -1 } }), /rank_pattern.q is -1/],
    ['rank other than in the file', files({ r: 3 }), /lora_A.weight is \[2,3\], .* 3 rows/],
    [
      'B of another rank',
      files({}, { [B]: float32Tensor(ramp(15), [5, 3]) }),
      /asks for 2 columns/,
    ],
    ['B with three sizes', files({}, { [B]: float32Tensor(ramp(10), [5, 2, 1]) }), /\[5,2,1\]/],
    ['A without inputs', files({}, { [A]: float32Tensor(ramp(0), [2, 0]) }), /A \[2,0\]/],
    ['missing A', files({}, { [A]: null }), /query has no lora_A.weight/],
    ['missing B', files({}, { [B]: null }), /query has no lora_B.weight/],
    ['missing matrices', files({}, { [A]: null, [B]: null }), /it has no matrices/],
    ['NaN', files({}, { [A]: withNaN }), /query holds a value that is not a finite/],
    [
      'NaN in what is saved whole',
      files({ modules_to_save: ['x'] }, { 'base_model.model.x.weight': withNaN }),
      /x.weight holds a value/,
    ],
    [
      'integers for floats',
      files({}, { [A]: { type: 'I32', shape: [2, 3], bytes: new Uint8Array(24) } }),
      /is I32/,
    ],
    ['module that is no target', files({ target_modules: ['uery'] }), /does not name it/],
    ['tensor outside PEFT’s names', files({}, { 'bert.x': one }), /does not begin with base_model/],
    [
      'tensor that nothing explains',
      files({ modules_to_save: ['lassifier'] }, { 'base_model.model.classifier.weight': one }),
      /classifier.weight is neither/,
    ],
    [
      'tensor named by 80 kB of dots',
      files({ modules_to_save: ['x'] }, { [`base_model.model.${'a.'.repeat(4e4)}weight`]: one }),
      /tensor "base_model.model.a.*…" has 80023 characters/,
    ],
    [
      'more tensors than any adapter has',
      files({}, Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`t${i}`, one]))),
      /it has 20002 tensors/,
    ],
    [
      'magnitudes of DoRA',
      files({}, { [`base_model.model.${QUERY}.lora_magnitude_vector`]: one }),
      /is neither/,
    ],
    ['weights cut short', { ...files(), weights: files().weights.slice(0, -4) }, /claims bytes/],
    ['weights cut to nothing', { ...files(), weights: new Uint8Array(3) }, /3 bytes, fewer than 8/],
    [
      'header that claims 100 GB',
      { ...files(), weights: lying(100_000_000_000n) },
      /claims 1000000/,
    ],
    ['header that claims too much', { ...files(), weights: lying(5000n) }, /claims 5000 bytes/],
    ['overlapping tensors', { ...files(), weights: overlapping() }, /begins at 0, inside/],
    [
      'tensor that claims 100 GB',
      { ...files(), weights: claiming(100e9) },
      /claims bytes 0 to 1000/,
    ],
  ]
  it.each(damaged)('refuses: %s', (_what, broken, message) => {
    expectCorrupt(() => readPeftAdapter(broken), message)
  })

  const other: [string, unknown][] = [
    ['peft_type', 'ADALORA'],
    ['peft_type', undefined],
    ['bias', 'all'],
    ['use_dora', true],
    ['fan_in_fan_out', true],
    ['lora_bias', true],
    ['layer_replication', [[0, 2]]],
    ['trainable_token_indices', [3]],
    ['target_parameters', ['x']],
    ['alora_invocation_tokens', [1]],
    ['use_bdlora', { nblocks: 2 }],
    ['kasa_config', { beta: 1 }],
    ['init_lora_weights', 'pissa_niter_4'],
    ['init_lora_weights', 'olora'],
    ['rank_pattern', { '(a+)+': 2 }],
    ['alpha_pattern', { '.*': 2 }],
    ['some_future_key', 1],
  ]
  it('shortens the name of a key it does not know', () => {
    expectCorrupt(
      () => readPeftAdapter(files({ ['k'.repeat(9e5)]: 1 })),
      /sets k{99}… to 1, which is not plain LoRA/,
    )
  })

  it.each(other)('refuses other maths than LoRA’s: %s = %j', (key, value) => {
    expectCorrupt(() => readPeftAdapter(files({ [key]: value })), new RegExp(`sets ${key}`))
  })

  it('only reads or refuses when bytes of good files are changed', () => {
    const good = files()
    const text = new TextEncoder().encode(good.config)
    const attempt = (broken: { config: string; weights: Uint8Array }) => {
      try {
        for (const { a } of readPeftAdapter(broken).modules.values()) {
          expect(a.every(Number.isFinite)).toBe(true)
        }
      } catch (error) {
        expect(isUnderstudyError(error)).toBe(true)
      }
    }
    for (const value of [0, 0x22, 0x39, 0x7d, 0xff]) {
      for (let at = 0; at < good.weights.length; at++) {
        attempt({ ...good, weights: good.weights.with(at, value) })
      }
      for (let at = 0; at < text.length; at++) {
        attempt({ ...good, config: new TextDecoder().decode(text.with(at, value)) })
      }
    }
  })
})

function expectCorrupt(act: () => unknown, message: RegExp): void {
  let thrown: unknown
  try {
    act()
  } catch (error) {
    thrown = error
  }
  expect(isUnderstudyError(thrown) && thrown.code).toBe('model-corrupt')
  expect(isUnderstudyError(thrown) && thrown.help).toBeTruthy()
  expect((thrown as Error).message).toMatch(message)
}

/** The sample's weights with another length of the header in its first bytes. */
function lying(length: bigint): Uint8Array {
  const { weights } = files()
  new DataView(weights.buffer).setBigUint64(0, length, true)
  return weights
}

function rewritten(change: (header: Record<string, { data_offsets: number[] }>) => void) {
  const { weights } = files()
  const length = Number(new DataView(weights.buffer).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)))
  change(header)
  const json = new TextEncoder().encode(JSON.stringify(header))
  const file = new Uint8Array([...new Uint8Array(8), ...json, ...weights.subarray(8 + length)])
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true)
  return file
}

const overlapping = () =>
  rewritten(header => {
    Object.assign(header[B] as object, { data_offsets: [0, 40] })
  })
const claiming = (bytes: number) =>
  rewritten(header => {
    Object.assign(header[A] as object, { shape: [2, bytes / 8], data_offsets: [0, bytes] })
  })
