/** A model's folder in Hugging Face's layout, written as a whole and read back. Knows no training and no graph. */
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode, UnderstudyError } from '../errors.ts'
import {
  type PeftAdapter,
  readPeftAdapter,
  readSafetensors,
  writePeftAdapter,
  writeSafetensors,
} from '../formats/index.ts'
import { writeFileAtomic } from '../platform/index.ts'
import { randomHex } from '../util/index.ts'
import { type EncoderConfig, parseEncoderConfig } from './encoder-config.ts'
import { readEncoderFiles } from './encoder-files.ts'
import {
  type EncoderWeights,
  type Linear,
  readClassifier,
  readEncoderWeights,
} from './encoder-weights.ts'
import { linearTensors, writeEncoderWeights } from './encoder-weights-file.ts'
import {
  denseFolder,
  type FolderModules,
  type FolderSettings,
  folderTexts,
  parseDense,
  parseFolderLabels,
  parseFolderModules,
} from './model-folder-texts.ts'

/** Files that make a tokenizer, copied byte for byte; only the first must be there. */
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.txt',
] as const

export type TokenizerFile = (typeof TOKENIZER_FILES)[number]

/** An encoder, with a classifier on top where it has one, and what belongs beside it. */
export interface ModelFolder extends FolderSettings {
  readonly config: EncoderConfig
  /** Merged: with the adapter's changes in it, where there was one. */
  readonly weights: EncoderWeights
  /** From the pooled vector to logits, `[hidden, labels]`. */
  readonly classifier?: Linear | undefined
  readonly tokenizer: ReadonlyMap<TokenizerFile, Uint8Array>
  /** `model.onnx`: the whole model as a graph, as Understudy runs it. */
  readonly onnx?: Uint8Array | undefined
  /** In `adapter/`: the same training as a change of the base model. */
  readonly adapter?: PeftAdapter | undefined
  /** `README.md`: the model card. */
  readonly card?: string | undefined
  /** `recipe.json`: the record of the run; JSON. */
  readonly run?: string | undefined
}

const ADAPTER_CONFIG = 'adapter/adapter_config.json'
const ADAPTER_WEIGHTS = 'adapter/adapter_model.safetensors'

/**
 * Writes a new folder: readers see nothing until all of it is there, also after a crash.
 * @throws usage-invalid when something is at that path already; file-unreadable when it cannot be written
 */
export async function writeModelFolder(folder: string, model: ModelFolder): Promise<void> {
  await writeNewFolder(folder, folderFiles(model))
}

/**
 * Writes files, by their paths in it, to a folder that is not there or empty: all of them, or nothing.
 * @throws usage-invalid when something is at that path already; file-unreadable when it cannot be written
 */
export async function writeNewFolder(
  folder: string,
  files: ReadonlyMap<string, string | Uint8Array>,
): Promise<void> {
  await requireFreeFolder(folder)
  const temporary = `${folder}.${randomHex(6)}.tmp`
  try {
    for (const [path, bytes] of files) await writeFileAtomic(join(temporary, path), bytes)
    await rename(temporary, folder)
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {})
    await requireFreeFolder(folder)
    throw new UnderstudyError('file-unreadable', `${folder} cannot be written`, {
      help: 'Check free space and permissions of the folder it is to stand in.',
      cause,
    })
  }
}

/**
 * Reads what `writeModelFolder` wrote, and folders of transformers and sentence-transformers in the same layouts.
 * @throws model-unavailable for a file that is missing, model-corrupt for one that cannot be used
 */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  try {
    return await readParts(folder)
  } catch (error) {
    // What reads a file's content does not know where the file lies.
    if (!hasCode(error, 'model-corrupt') || error.message.includes(folder)) throw error
    throw new UnderstudyError(
      'model-corrupt',
      `${folder} cannot be used as a model. ${error.message}`,
      {
        help: 'Copy the folder again from where it is whole; remove and pull again what `understudy models list` names.',
        cause: error,
      },
    )
  }
}

async function readParts(folder: string): Promise<ModelFolder> {
  const files = await readEncoderFiles(folder)
  const optional = async (path: string) => (await optionalBytes(join(folder, path))) ?? undefined
  const text = async (path: string) => decode(await optional(path))
  const config = parseEncoderConfig(files)
  const modules = parseFolderModules(await text('modules.json'))
  const tensors = readSafetensors(files.weights)
  const tokenizer = new Map<TokenizerFile, Uint8Array>()
  for (const name of TOKENIZER_FILES) {
    const bytes = await optional(name)
    if (bytes !== undefined) tokenizer.set(name, bytes)
  }
  const run = await text('recipe.json')
  const settings = parseFolderLabels(files.config, { areNamed: run !== undefined })
  const classifier =
    config.pooling === 'pooler' || settings.problem === 'token-labels'
      ? readClassifier(tensors.tensors, { inSize: config.hiddenSize })
      : await readDense(folder, modules, config)
  requireLabels(settings.labels, classifier)
  return {
    ...settings,
    isNormalised: modules.isNormalised,
    config,
    weights: readEncoderWeights(tensors, config),
    classifier,
    tokenizer,
    onnx: await optional('model.onnx'),
    adapter: await readAdapter(optional),
    card: await text('README.md'),
    run,
  }
}

/** Bytes or text of each file by its path in the folder. */
function folderFiles(model: ModelFolder): ReadonlyMap<string, string | Uint8Array> {
  const { config, weights, classifier, onnx, adapter, card, run } = model
  requireWhole(model)
  const classCount = classifier?.bias.length ?? null
  const files = new Map<string, string | Uint8Array>([
    ...folderTexts(config, { settings: model, classCount }),
    ...model.tokenizer,
  ])
  if (config.pooling === 'pooler' || model.problem === 'token-labels') {
    files.set(
      'model.safetensors',
      writeEncoderWeights(weights, config, { prefix: 'bert.', classifier }),
    )
  } else {
    files.set('model.safetensors', writeEncoderWeights(weights, config))
    if (classifier !== undefined) {
      const tensors = new Map(linearTensors('linear', classifier))
      const path = `${denseFolder(model.isNormalised)}/model.safetensors`
      files.set(path, writeSafetensors(tensors, { format: 'pt' }))
    }
  }
  if (adapter !== undefined) {
    const peft = writePeftAdapter(adapter)
    files.set(ADAPTER_CONFIG, peft.config)
    files.set(ADAPTER_WEIGHTS, peft.weights)
  }
  if (onnx !== undefined) files.set('model.onnx', onnx)
  if (card !== undefined) files.set('README.md', card)
  if (run !== undefined) files.set('recipe.json', run)
  return files
}

function requireWhole(model: ModelFolder): void {
  const { config, classifier, labels, tokenizer, isNormalised, problem } = model
  requireLabels(labels, classifier)
  if (!tokenizer.has('tokenizer.json')) throw unusable('there is no tokenizer.json')
  if (config.pooling === 'pooler' && (classifier === undefined || isNormalised)) {
    throw unusable('pooling by pooler is the layout of a classifier on vectors as they are')
  }
  if (problem === 'token-labels' && (classifier === undefined || isNormalised)) {
    throw unusable('labels of tokens need a classifier on hidden states as they are')
  }
}

function requireLabels(
  labels: readonly string[] | undefined,
  classifier: Linear | undefined,
): void {
  if (labels === undefined || classifier === undefined) return
  if (labels.length !== classifier.bias.length || new Set(labels).size !== labels.length) {
    throw unusable(
      `${labels.length} labels, ${new Set(labels).size} of them different, for ${classifier.bias.length} logits`,
    )
  }
}

/** @throws usage-invalid when something is at that path already, except an empty folder */
export async function requireFreeFolder(folder: string): Promise<void> {
  const there = await stat(folder).catch(() => null)
  // Somebody's file, the rows perhaps: nothing here may suggest to remove it.
  if (there !== null && !there.isDirectory()) {
    throw new UnderstudyError('usage-invalid', `${folder} is there already, and is a file`, {
      help: 'Name a new folder.',
    })
  }
  const entries = there !== null ? await readdir(folder).catch(() => ['not a folder']) : []
  if (entries.length === 0) return
  throw new UnderstudyError('usage-invalid', `${folder} is there already and not empty`, {
    help: 'Name a new folder, or remove this one first.',
  })
}

async function readDense(
  folder: string,
  { dense }: FolderModules,
  { hiddenSize }: EncoderConfig,
): Promise<Linear | undefined> {
  if (dense === undefined) return undefined
  const bytes = async (name: string) => {
    const found = await optionalBytes(join(folder, dense, name))
    if (found !== null) return found
    throw unusable(`modules.json names ${dense}, and ${dense}/${name} is missing`)
  }
  parseDense(decode(await bytes('config.json')) ?? '')
  const { tensors } = readSafetensors(await bytes('model.safetensors'))
  const linear = readClassifier(tensors, { inSize: hiddenSize, path: 'linear' })
  if (linear === undefined) throw unusable(`${dense}/model.safetensors has no linear.weight`)
  return linear
}

async function readAdapter(
  optional: (path: string) => Promise<Uint8Array | undefined>,
): Promise<PeftAdapter | undefined> {
  const config = decode(await optional(ADAPTER_CONFIG))
  const weights = await optional(ADAPTER_WEIGHTS)
  if (config === undefined && weights === undefined) return undefined
  if (config === undefined || weights === undefined) {
    throw unusable(`${config === undefined ? ADAPTER_CONFIG : ADAPTER_WEIGHTS} is missing`)
  }
  return readPeftAdapter({ config, weights })
}

/** A file's bytes; null when there is none. */
async function optionalBytes(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw new UnderstudyError('model-unavailable', `${path} cannot be read`, {
      help: 'Check the permissions of the model’s folder.',
      cause,
    })
  }
}

function decode(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder().decode(bytes)
}

function unusable(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The model’s folder cannot be used: ${what}`, {
    help: 'Use a folder that transformers, sentence-transformers or Understudy wrote.',
  })
}
