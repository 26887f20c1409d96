/** Reads what a PyTorch job left behind, as hostile as any file from elsewhere. Knows no task and no certificate. */
import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../../errors.ts'
import {
  float32Values,
  type PeftAdapter,
  readPeftAdapter,
  readSafetensors,
  type Safetensors,
} from '../../formats/index.ts'
import { sha256, sha256File } from '../../platform/index.ts'
import { canonicalJson } from '../../util/index.ts'
import {
  corruptResult,
  isTorchJob,
  MAX_DATA_BYTES,
  parseTorchJob,
  parseTorchMetrics,
  parseTorchRows,
  type TorchJob,
  type TorchJobMetrics,
  type TorchRow,
} from './torch-job-format.ts'

export interface TorchJobResult {
  readonly job: TorchJob
  readonly metrics: TorchJobMetrics
  /** weight [classes, hidden], bias [classes] */
  readonly classifier: { readonly weight: Float32Array; readonly bias: Float32Array }
  readonly hiddenSize: number
  /** With method `lora`. */
  readonly adapter: PeftAdapter | null
  /** With method `full`: the folder of the whole encoder, its files checked against their hashes. */
  readonly modelFolder: string | null
  /** [selection rows, classes], in the order of `data.jsonl`: what PyTorch computed, to compare with. */
  readonly selectionLogits: Float32Array
}

const MAX_JSON_BYTES = 64 * 2 ** 20
/** Beyond it Node reads no file at once; adapters and heads are far smaller. */
const MAX_TENSOR_BYTES = 2 ** 30

/**
 * Checks that the result is complete, belongs to this job and is not damaged.
 * @param id the job's id when it was written, where the caller kept it: a folder that came back may name another
 * @throws model-corrupt; usage-invalid for a folder of something else
 */
export async function readTorchJobResult(
  dir: string,
  { id }: { id?: string } = {},
): Promise<TorchJobResult> {
  const recipe = (await isThere(dir, 'recipe.json')) ? await readText(dir, 'recipe.json') : '{}'
  if (!isTorchJob(recipe)) {
    throw new UnderstudyError(
      'usage-invalid',
      `${dir} is not a job folder written by \`understudy train --on torch\`.`,
      { help: 'Name the folder of a finished job, or a file of rows to write a job for.' },
    )
  }
  const job = parseTorchJob(recipe)
  if (id !== undefined && job.id !== id) {
    throw corruptResult(`${dir} holds job ${job.id}, and ${id} was asked for`)
  }
  const metrics = parseTorchMetrics(await readText(dir, 'result/metrics.json'), job)
  const folder = join(dir, 'result')
  await checkFiles(folder, metrics)
  const read = (path: string, limit = MAX_TENSOR_BYTES) => readListed(folder, path, metrics, limit)
  const head = await readHead(read, job)
  const { method } = job.recipe
  return {
    job,
    metrics,
    ...head,
    adapter: method === 'lora' ? await readAdapter(read, job) : null,
    modelFolder: method === 'full' ? requireModel(folder, metrics) : null,
    selectionLogits: await readLogits(read, job),
  }
}

/**
 * The rows that the job was made with.
 * @throws model-corrupt
 */
export async function readTorchRows(dir: string, job: TorchJob): Promise<TorchRow[]> {
  const { file, hash } = job.data
  const text = await readText(dir, file, MAX_DATA_BYTES)
  requireHash(file, text, hash)
  return parseTorchRows(text, job)
}

/** @throws model-corrupt where a file in the job folder is not the one that `recipe.json` names */
export function requireHash(file: string, content: string | Uint8Array, hash: string): void {
  if (sha256(content) === hash) return
  throw corruptResult(
    `${file} was changed or damaged: its SHA-256 differs from that in recipe.json`,
  )
}

/** What `model/` may hold beside the weights. */
export const MODEL_FILES = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.txt',
  'modules.json',
  'sentence_bert_config.json',
  '1_Pooling/config.json',
] as const

/** SHA-256 over names and hashes of those that are there. @throws model-corrupt for what is not a plain file */
export async function modelFilesHash(dir: string): Promise<string> {
  const hashes: Record<string, string> = {}
  for (const file of MODEL_FILES) {
    const path = `model/${file}`
    if (!(await isThere(dir, path))) continue
    await plainSize(dir, path)
    hashes[file] = await sha256File(join(dir, path))
  }
  return sha256(canonicalJson(hashes))
}

/** @throws model-corrupt where files of `model/` lead out of it, or are not those that the job was made with */
export async function checkModelFiles(dir: string, { baseModel }: TorchJob): Promise<void> {
  await plainSize(dir, 'model/model.safetensors')
  const found = await modelFilesHash(dir)
  if (baseModel.filesHash === undefined || baseModel.filesHash === found) return
  throw corruptResult('files in model/ were changed, added or damaged since the job was written')
}

type ReadListed = (path: string, limit?: number) => Promise<Uint8Array>

async function readHead(read: ReadListed, { labels }: TorchJob) {
  const file = readSafetensors(await read('classifier.safetensors'))
  const weight = file.tensors.get('classifier.weight')
  const [rows, hiddenSize = 0] = weight?.shape ?? []
  if (weight?.shape.length !== 2 || rows !== labels.length || hiddenSize < 1) {
    throw corruptResult(
      `classifier.weight is [${weight?.shape ?? 'missing'}], and there are ${labels.length} labels`,
    )
  }
  return {
    hiddenSize,
    classifier: {
      weight: values(file, 'classifier.weight', [labels.length, hiddenSize]),
      bias: values(file, 'classifier.bias', [labels.length]),
    },
  }
}

async function readAdapter(read: ReadListed, { recipe }: TorchJob): Promise<PeftAdapter> {
  const adapter = readPeftAdapter({
    config: new TextDecoder().decode(await read('adapter/adapter_config.json', MAX_JSON_BYTES)),
    weights: await read('adapter/adapter_model.safetensors'),
  })
  const wanted = [recipe.rank, recipe.alpha].join()
  const odd = [...adapter.modules].find(([, one]) => [one.rank, one.alpha].join() !== wanted)
  if (odd !== undefined || adapter.isRankStabilised) {
    throw corruptResult(
      `the adapter${odd === undefined ? '' : ` of ${odd[0]}`} is not of rank ${recipe.rank} and alpha ${recipe.alpha}`,
    )
  }
  return adapter
}

function requireModel(folder: string, { files }: TorchJobMetrics): string {
  for (const name of ['model/model.safetensors', 'model/config.json']) {
    if (!Object.hasOwn(files, name)) throw corruptResult(`result/${name} is missing`)
  }
  return join(folder, 'model')
}

async function readLogits(read: ReadListed, { labels, data }: TorchJob): Promise<Float32Array> {
  const file = readSafetensors(await read('selection-logits.safetensors'))
  return values(file, 'logits', [data.selectionCount, labels.length])
}

/** A tensor of that shape without NaN and infinities. */
function values(file: Safetensors, name: string, shape: readonly number[]): Float32Array {
  const tensor = file.tensors.get(name)
  if (tensor?.shape.join() !== shape.join()) {
    throw corruptResult(`${name} is [${tensor?.shape ?? 'missing'}], and [${shape}] is needed`)
  }
  const found = float32Values(name, tensor)
  if (!found.every(Number.isFinite)) throw corruptResult(`${name} holds NaN or infinity`)
  return found
}

/** Every file listed is there, a plain file of its size and hash. */
async function checkFiles(folder: string, { files }: TorchJobMetrics): Promise<void> {
  for (const [path, { bytes, hash }] of Object.entries(files)) {
    await requireSize(folder, path, bytes)
    if ((await sha256File(join(folder, path))) !== hash) {
      throw corruptResult(`result/${path} was changed or damaged: its SHA-256 differs`)
    }
  }
}

async function readListed(
  folder: string,
  path: string,
  { files }: TorchJobMetrics,
  limit: number,
): Promise<Uint8Array> {
  const listed = Object.hasOwn(files, path) ? files[path] : undefined
  if (listed === undefined) throw corruptResult(`result/${path} is missing`)
  if (listed.bytes > limit) {
    throw corruptResult(`result/${path} has ${listed.bytes} bytes, more than ${limit}`)
  }
  const bytes = await readFile(join(folder, path))
  // Again, since the folder may be written to meanwhile.
  if (sha256(bytes) !== listed.hash) throw corruptResult(`result/${path} changes while it is read`)
  return bytes
}

async function readText(dir: string, path: string, limit = MAX_JSON_BYTES): Promise<string> {
  const bytes = await plainSize(dir, path)
  if (bytes > limit) throw corruptResult(`${path} has ${bytes} bytes`)
  return await readFile(join(dir, path), 'utf8')
}

async function requireSize(folder: string, path: string, bytes: number): Promise<void> {
  const found = await plainSize(folder, path)
  if (found !== bytes) {
    throw corruptResult(`result/${path} has ${found} bytes, metrics.json says ${bytes}`)
  }
}

async function isThere(dir: string, path: string): Promise<boolean> {
  return (await lstat(join(dir, path)).catch(() => null)) !== null
}

/** Bytes of a plain file; a link could lead out of the folder. */
async function plainSize(dir: string, path: string): Promise<number> {
  const parts = path.split('/')
  for (let depth = 1; depth <= parts.length; depth++) {
    const part = parts.slice(0, depth).join('/')
    const found = await lstat(join(dir, part)).catch(() => null)
    if (found === null) throw corruptResult(`${part} is missing in ${dir}`)
    const isFine = depth === parts.length ? found.isFile() : found.isDirectory()
    if (!isFine)
      throw corruptResult(`${part} is not a plain ${depth === parts.length ? 'file' : 'folder'}`)
    if (depth === parts.length) return found.size
  }
  return 0
}
