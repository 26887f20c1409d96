/** `adapter_config.json` of PEFT: what a LoRA adapter is, without its numbers. Refuses whatever else changes the maths. */
import { UnderstudyError } from '../errors.ts'
import { clip } from '../util/index.ts'
import { duplicateKey } from './json-keys.ts'
import { show } from './show.ts'

export interface PeftConfig {
  /** Rank of the matrices, and `alpha`, whose quotient scales them; a pattern may say otherwise for some modules. */
  readonly rank: number
  readonly alpha: number
  /** Scales by `alpha / √rank` in place of `alpha / rank` (rsLoRA, Kalajdzievski 2023). */
  readonly isRankStabilised: boolean
  /** Used in training only. */
  readonly dropout: number
  /** Ends of module paths such as `query`; a single string is PEFT's regular expression, or `all-linear`. */
  readonly targetModules: readonly string[] | string
  /** Ends of the paths of modules that are saved whole, such as `classifier`. */
  readonly modulesToSave: readonly string[]
  /** By pattern, in order: the first that matches the end of a module's path counts. */
  readonly rankPattern: ReadonlyMap<string, number>
  readonly alphaPattern: ReadonlyMap<string, number>
  readonly baseModel: string | null
  /** E.g. `SEQ_CLS`, `FEATURE_EXTRACTION`. */
  readonly taskType: string | null
}

const MAX_CHARACTERS = 1_000_000
const MAX_ENTRIES = 1000
const MAX_RANK = 65_536
/** Characters of patterns that cost no more than linear time to match, unlike regular expressions in general. */
const PLAIN_PATTERN = /^\^?(?:\\\.|\\d|[\w.|-]){1,256}\$?$/

/** Ways to draw A and B that leave the base weights alone, unlike PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA. */
const HARMLESS_INITS: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  'gaussian',
  'eva',
  'orthogonal',
]

/** Keys that say nothing of the maths once an adapter is trained, whatever their value. */
const HARMLESS_KEYS = new Set([
  'auto_mapping',
  'corda_config',
  'ensure_weight_tying',
  'eva_config',
  'exclude_modules',
  'inference_mode',
  'layers_pattern',
  'layers_to_transform',
  'loftq_config',
  'lora_ga_config',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
])

/** Keys that `parsePeftConfig` reads. */
const READ_KEYS = new Set([
  'alpha_pattern',
  'base_model_name_or_path',
  'bias',
  'init_lora_weights',
  'lora_alpha',
  'lora_dropout',
  'modules_to_save',
  'peft_type',
  'r',
  'rank_pattern',
  'target_modules',
  'task_type',
  'use_rslora',
])

type Json = Readonly<Record<string, unknown>>

/**
 * Keys that are absent have PEFT's defaults. A key that is not known is fine while it is off (null, false, 0 or empty).
 * @throws model-corrupt for what is not plain LoRA, naming the key
 */
export function parsePeftConfig(text: string): PeftConfig {
  const json = parseObject(text)
  refuseOtherMaths(json)
  return {
    rank: sizeOf(json, 'r', json.r ?? 8),
    alpha: numberOf(json, 'lora_alpha', json.lora_alpha ?? 8),
    isRankStabilised: flagOf(json, 'use_rslora'),
    dropout: numberOf(json, 'lora_dropout', json.lora_dropout ?? 0),
    targetModules:
      typeof json.target_modules === 'string'
        ? json.target_modules
        : listOf(json, 'target_modules'),
    modulesToSave: listOf(json, 'modules_to_save'),
    rankPattern: patternsOf(json, 'rank_pattern', sizeOf),
    alphaPattern: patternsOf(json, 'alpha_pattern', numberOf),
    baseModel: textOf(json, 'base_model_name_or_path'),
    taskType: textOf(json, 'task_type'),
  }
}

/** The text of `adapter_config.json`, its keys in order as PEFT writes them. */
export function writePeftConfig(config: PeftConfig): string {
  const json = {
    alpha_pattern: Object.fromEntries(config.alphaPattern),
    base_model_name_or_path: config.baseModel,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    modules_to_save: config.modulesToSave.length > 0 ? config.modulesToSave : null,
    peft_type: 'LORA',
    r: config.rank,
    rank_pattern: Object.fromEntries(config.rankPattern),
    target_modules: config.targetModules,
    task_type: config.taskType,
    use_dora: false,
    use_rslora: config.isRankStabilised,
  }
  return `${JSON.stringify(json, null, 2)}\n`
}

/** Rank and alpha of one module, as PEFT finds them by its full path. */
export function moduleSettings(
  config: PeftConfig,
  module: string,
): { rank: number; alpha: number } {
  return {
    rank: firstMatch(config.rankPattern, module) ?? config.rank,
    alpha: firstMatch(config.alphaPattern, module) ?? config.alpha,
  }
}

/** Whether a module's path is one of these names or ends in one, as PEFT compares them. */
export function endsInOne(module: string, names: readonly string[]): boolean {
  return names.some(name => module === name || module.endsWith(`.${name}`))
}

function firstMatch(patterns: ReadonlyMap<string, number>, module: string): number | undefined {
  for (const [pattern, value] of patterns) {
    if (new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(module)) return value
  }
  return undefined
}

function parseObject(text: string): Json {
  if (text.length > MAX_CHARACTERS) throw corrupt(`it has ${text.length} characters`)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw corrupt('it is not JSON', cause)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw corrupt('it is not a JSON object')
  }
  const twice = duplicateKey(text)
  if (twice !== undefined) throw corrupt(`it names ${show(twice)} twice`)
  return json as Json
}

function refuseOtherMaths(json: Json): void {
  if (json.peft_type !== 'LORA') throw unsupported('peft_type', json.peft_type)
  if (json.bias !== undefined && json.bias !== 'none') throw unsupported('bias', json.bias)
  if (!HARMLESS_INITS.includes(json.init_lora_weights)) {
    throw unsupported('init_lora_weights', json.init_lora_weights)
  }
  for (const [key, value] of Object.entries(json)) {
    if (!READ_KEYS.has(key) && !HARMLESS_KEYS.has(key) && !isOff(value)) {
      throw unsupported(key, value)
    }
  }
}

function isOff(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return !value
}

function sizeOf(_json: Json, key: string, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= MAX_RANK) {
    return value as number
  }
  throw corrupt(`${key} is ${show(value)}, not a rank from 1 to ${MAX_RANK}`)
}

function numberOf(_json: Json, key: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw corrupt(`${key} is ${show(value)}, not a number`)
}

function flagOf(json: Json, key: string): boolean {
  const value = json[key] ?? false
  if (typeof value === 'boolean') return value
  throw corrupt(`${key} is ${show(value)}, not true or false`)
}

function textOf(json: Json, key: string): string | null {
  const value = json[key] ?? null
  if (value === null || typeof value === 'string') return value
  throw corrupt(`${key} is ${show(value)}, not text`)
}

function listOf(json: Json, key: string): readonly string[] {
  const value = json[key] ?? []
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) {
    throw corrupt(`${key} is not a list of at most ${MAX_ENTRIES} names`)
  }
  if (value.every(name => typeof name === 'string' && name !== '')) return value
  throw corrupt(`${key} holds something that is not a name`)
}

function patternsOf(
  json: Json,
  key: string,
  read: (json: Json, key: string, value: unknown) => number,
): ReadonlyMap<string, number> {
  const value = json[key] ?? {}
  if (typeof value !== 'object' || Array.isArray(value)) throw corrupt(`${key} is not an object`)
  const entries = Object.entries(value)
  if (entries.length > MAX_ENTRIES) throw corrupt(`${key} has ${entries.length} entries`)
  const odd = entries.find(([pattern]) => !PLAIN_PATTERN.test(pattern))
  if (odd !== undefined) throw unsupported(`${key}[${show(odd[0])}]`, odd[1])
  return new Map(entries.map(([pattern, one]) => [pattern, read(json, `${key}.${pattern}`, one)]))
}

function unsupported(key: string, value: unknown): UnderstudyError {
  return new UnderstudyError(
    'model-corrupt',
    `adapter_config.json sets ${clip(key, 100)} to ${show(value)}, which is not plain LoRA as understood here`,
    {
      help: 'Train with LoraConfig’s defaults for that key, or merge with PEFT (merge_and_unload) and use the merged model.',
    },
  )
}

function corrupt(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('model-corrupt', `adapter_config.json cannot be used: ${what}`, {
    help: 'Use the adapter_config.json that PEFT wrote beside adapter_model.safetensors.',
    cause,
  })
}
