/** LoRA adapters in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`. Knows no encoder. */
import { UnderstudyError } from '../errors.ts'
import {
  endsInOne,
  moduleSettings,
  type PeftConfig,
  parsePeftConfig,
  writePeftConfig,
} from './peft-config.ts'
import {
  float16Tensor,
  float32Tensor,
  float32Values,
  readSafetensors,
  type SafetensorsTensor,
  writeSafetensors,
} from './safetensors.ts'

/** What LoRA adds to one linear module: `scaling · B · A` to its weight `[out, in]` (Hu et al. 2021). */
export interface LoraModule {
  /** `[rank, in]`. */
  readonly a: Float32Array
  /** `[out, rank]`. */
  readonly b: Float32Array
  readonly inSize: number
  readonly outSize: number
  readonly rank: number
  readonly alpha: number
}

/** An adapter; its patterns of ranks and alphas are spelled out module by module. */
export interface PeftAdapter
  extends Omit<PeftConfig, 'rankPattern' | 'alphaPattern' | 'modulesToSave'> {
  /** By the module's path in the model that was adapted, e.g. `bert.encoder.layer.0.attention.self.query`. */
  readonly modules: ReadonlyMap<string, LoraModule>
  /** Tensors of modules saved whole, by name in the model that was adapted, e.g. `classifier.weight`. */
  readonly saved: ReadonlyMap<string, SafetensorsTensor>
}

/** The two files of an adapter. */
export interface PeftFiles {
  /** Text of `adapter_config.json`. */
  readonly config: string
  /** `adapter_model.safetensors`. */
  readonly weights: Uint8Array
}

/** PEFT wraps the model twice: names in its files begin with this. */
const WRAPPED = 'base_model.model.'
const MAX_MODULES = 4096
/** Both matrices of each module, and as many tensors saved whole. */
const MAX_TENSORS = 4 * MAX_MODULES

/** What `B · A` is multiplied with. */
export function loraScaling(
  { isRankStabilised }: Pick<PeftAdapter, 'isRankStabilised'>,
  { rank, alpha }: Pick<LoraModule, 'rank' | 'alpha'>,
): number {
  return alpha / (isRankStabilised ? Math.sqrt(rank) : rank)
}

/**
 * An adapter from its files; 16-bit numbers are widened, others are views where they are aligned.
 * @throws model-corrupt when the files disagree, are damaged, or hold more than plain LoRA
 */
export function readPeftAdapter(files: PeftFiles): PeftAdapter {
  const { modulesToSave, rankPattern, alphaPattern, ...config } = parsePeftConfig(files.config)
  const settingsOf = (module: string) =>
    moduleSettings({ ...config, modulesToSave, rankPattern, alphaPattern }, module)
  const { halves, saved } = sortTensors(readSafetensors(files.weights).tensors, modulesToSave)
  const modules = new Map<string, LoraModule>()
  for (const [module, { A: a, B: b }] of halves) {
    modules.set(module, readModule(module, { a, b, ...settingsOf(module) }))
  }
  const adapter = { ...config, modules, saved }
  checkAdapter(adapter)
  return adapter
}

/**
 * The files of an adapter, as PEFT loads them. `type` F16 halves the matrices; what is saved whole is written as it is.
 * @throws model-corrupt when sizes disagree, a value is not finite, or `targetModules` leaves out a module
 */
export function writePeftAdapter(
  adapter: PeftAdapter,
  { type = 'F32' }: { type?: 'F32' | 'F16' } = {},
): PeftFiles & { readonly weights: Uint8Array<ArrayBuffer> } {
  checkAdapter(adapter)
  const { modules, saved, ...config } = adapter
  const toTensor = type === 'F32' ? float32Tensor : float16Tensor
  const tensors = new Map<string, SafetensorsTensor>()
  const rankPattern = new Map<string, number>()
  const alphaPattern = new Map<string, number>()
  for (const [module, { a, b, inSize, outSize, rank, alpha }] of modules) {
    tensors.set(`${WRAPPED}${module}.lora_A.weight`, toTensor(a, [rank, inSize]))
    tensors.set(`${WRAPPED}${module}.lora_B.weight`, toTensor(b, [outSize, rank]))
    if (rank !== adapter.rank) rankPattern.set(module, rank)
    if (alpha !== adapter.alpha) alphaPattern.set(module, alpha)
  }
  for (const [name, tensor] of saved) tensors.set(WRAPPED + name, tensor)
  const modulesToSave = [...new Set([...saved.keys()].map(moduleOf))]
  return {
    config: writePeftConfig({ ...config, modulesToSave, rankPattern, alphaPattern }),
    // PyTorch's own mark: some readers refuse a file without it.
    weights: writeSafetensors(tensors, { format: 'pt' }),
  }
}

type Halves = Partial<Record<'A' | 'B', SafetensorsTensor>>

/** Tensors of matrices by module, and those of modules saved whole, by names without PEFT's wrapping. */
function sortTensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  modulesToSave: readonly string[],
): { halves: Map<string, Halves>; saved: Map<string, SafetensorsTensor> } {
  if (tensors.size > MAX_TENSORS) throw corrupt(`it has ${tensors.size} tensors`)
  const halves = new Map<string, Halves>()
  const saved = new Map<string, SafetensorsTensor>()
  for (const [name, tensor] of tensors) {
    if (!name.startsWith(WRAPPED)) throw corrupt(`tensor ${name} does not begin with ${WRAPPED}`)
    const inner = name.slice(WRAPPED.length)
    const [, module, half] = /^(.+)\.lora_([AB])\.weight$/.exec(inner) ?? []
    if (module !== undefined && (half === 'A' || half === 'B')) {
      halves.set(module, { ...halves.get(module), [half]: tensor })
    } else if (isSaved(inner, modulesToSave)) {
      saved.set(inner, tensor)
    } else {
      throw corrupt(
        `tensor ${name} is neither lora_A.weight nor lora_B.weight, nor of a module in modules_to_save`,
      )
    }
  }
  if (halves.size > MAX_MODULES) throw corrupt(`it has matrices for ${halves.size} modules`)
  return { halves, saved }
}

/** Whether a tensor belongs to a module in the list, or to one inside such a module. */
function isSaved(tensor: string, modulesToSave: readonly string[]): boolean {
  return modulesToSave.some(module => `.${tensor}`.includes(`.${module}.`))
}

interface ModuleTensors {
  readonly a: SafetensorsTensor | undefined
  readonly b: SafetensorsTensor | undefined
  readonly rank: number
  readonly alpha: number
}

function readModule(module: string, { a, b, rank, alpha }: ModuleTensors): LoraModule {
  if (a === undefined) throw corrupt(`${module} has no lora_A.weight`)
  if (b === undefined) throw corrupt(`${module} has no lora_B.weight`)
  const [inSize = 0] = a.shape.slice(1)
  const [outSize = 0] = b.shape
  if (a.shape.length !== 2 || a.shape[0] !== rank) {
    throw corrupt(
      `${module}.lora_A.weight is [${a.shape}], adapter_config.json asks for ${rank} rows`,
    )
  }
  if (b.shape.length !== 2 || b.shape[1] !== rank) {
    throw corrupt(
      `${module}.lora_B.weight is [${b.shape}], adapter_config.json asks for ${rank} columns`,
    )
  }
  return {
    a: float32Values(`${module}.lora_A.weight`, a),
    b: float32Values(`${module}.lora_B.weight`, b),
    inSize,
    outSize,
    rank,
    alpha,
  }
}

/** What must hold of an adapter that was read, and of one about to be written. */
function checkAdapter({ modules, saved, targetModules }: PeftAdapter): void {
  if (modules.size === 0) throw corrupt('it has no matrices')
  for (const [module, { a, b, inSize, outSize, rank }] of modules) {
    if (inSize < 1 || outSize < 1 || a.length !== rank * inSize || b.length !== outSize * rank) {
      throw corrupt(
        `${module} has ${a.length} and ${b.length} values for A [${rank},${inSize}] and B [${outSize},${rank}]`,
      )
    }
    if (!a.every(Number.isFinite) || !b.every(Number.isFinite)) {
      throw corrupt(`${module} holds a value that is not a finite number`)
    }
    // PEFT would leave such matrices out with no more than a warning.
    if (typeof targetModules !== 'string' && !endsInOne(module, targetModules)) {
      throw corrupt(`${module} has matrices, but target_modules does not name it`)
    }
  }
  for (const [name, tensor] of saved) {
    const isFloat = tensor.type === 'F32' || tensor.type === 'F16' || tensor.type === 'BF16'
    if (isFloat && !float32Values(name, tensor).every(Number.isFinite)) {
      throw corrupt(`${name} holds a value that is not a finite number`)
    }
  }
}

/** The module that a tensor such as `classifier.weight` belongs to. */
function moduleOf(tensor: string): string {
  return tensor.slice(0, Math.max(0, tensor.lastIndexOf('.')))
}

function corrupt(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The adapter cannot be used: ${what}`, {
    help: 'Use adapter_config.json and adapter_model.safetensors as PEFT wrote them in one folder.',
  })
}
