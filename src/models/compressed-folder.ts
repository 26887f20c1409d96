/** A compressed classifier as a folder: graph, tokenizer, configuration and a manifest. Knows no training and no certificates. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import { type EncoderConfig, parseEncoderConfig } from './encoder-config.ts'
import type { ModelFolder, TokenizerFile } from './model-folder.ts'
import { TOKENIZER_FILES, writeNewFolder } from './model-folder.ts'
import { folderTexts } from './model-folder-texts.ts'
import type { QuantizeKind } from './quantize.ts'

export const COMPRESSED_MANIFEST = 'understudy.json'

export interface CompressedFolder extends Pick<ModelFolder, 'config' | 'tokenizer'> {
  readonly precision: QuantizeKind
  /** As `compressedGraph` gives it with a classifier. */
  readonly graph: Uint8Array
  /** Names of the logits, in order. */
  readonly labels: readonly string[]
  /** Whether the encoder below the classifier was trained on labelled rows. */
  readonly isTrained: boolean
  /** What was done and measured, as plain JSON; shown, never read by what serves. */
  readonly record: unknown
}

const manifestSchema = z.object({
  format: z.literal('understudy-compressed'),
  version: z.literal(1),
  precision: z.enum(['int8', 'int4']),
  /** SHA-256 of `model.onnx`. */
  graphHash: z.string(),
  /** SHA-256 of `tokenizer.json`: a trimmed one numbers tokens as no other does. */
  tokenizerHash: z.string(),
  isTrained: z.boolean(),
  labels: z.array(z.string()).min(1).max(100_000),
  record: z.unknown(),
})

/**
 * Writes a new folder: `model.onnx`, the tokenizer's files, `config.json` and its companions, `understudy.json`.
 * @throws usage-invalid when something is at that path already; file-unreadable when it cannot be written
 */
export async function writeCompressedFolder(
  folder: string,
  { config, tokenizer, precision, graph, labels, isTrained, record }: CompressedFolder,
): Promise<void> {
  const manifest: z.infer<typeof manifestSchema> = {
    format: 'understudy-compressed',
    version: 1,
    precision,
    graphHash: sha256(graph),
    tokenizerHash: sha256(tokenizer.get('tokenizer.json') ?? ''),
    isTrained,
    labels: [...labels],
    record,
  }
  const settings = { labels, problem: 'single-label', isNormalised: true } as const
  await writeNewFolder(
    folder,
    new Map<string, string | Uint8Array>([
      // No Dense module: the classifier is in the graph.
      ...folderTexts(config, { settings, classCount: null }),
      ...tokenizer,
      ['model.onnx', graph],
      [COMPRESSED_MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`],
    ]),
  )
}

/** @throws model-unavailable for a file that is missing; model-corrupt for one that is not what was written */
export async function readCompressedFolder(folder: string): Promise<CompressedFolder> {
  const text = async (name: string) => new TextDecoder().decode(await bytesOf(folder, name))
  const manifest = parseManifest(await text(COMPRESSED_MANIFEST))
  const graph = await bytesOf(folder, 'model.onnx')
  if (sha256(graph) !== manifest.graphHash) {
    throw corrupt(folder, 'model.onnx is not the one that its manifest names')
  }
  const tokenizer = new Map<TokenizerFile, Uint8Array>()
  for (const name of TOKENIZER_FILES) {
    const bytes = await bytesOf(folder, name).catch(() => undefined)
    if (bytes !== undefined) tokenizer.set(name, bytes)
  }
  const own = tokenizer.get('tokenizer.json')
  if (own === undefined) throw corrupt(folder, 'there is no tokenizer.json')
  if (sha256(own) !== manifest.tokenizerHash) {
    throw corrupt(folder, 'tokenizer.json is not the one that its manifest names')
  }
  return {
    config: await readConfig(text),
    tokenizer,
    precision: manifest.precision,
    graph,
    labels: manifest.labels,
    isTrained: manifest.isTrained,
    record: manifest.record,
  }

  function parseManifest(json: string) {
    const parsed = manifestSchema.safeParse(parseJson(json))
    if (parsed.success) return parsed.data
    throw corrupt(folder, `${COMPRESSED_MANIFEST} is not understood`, parsed.error)
  }
}

async function readConfig(text: (name: string) => Promise<string>): Promise<EncoderConfig> {
  const optional = (name: string) => text(name).catch(() => undefined)
  return parseEncoderConfig({
    config: await text('config.json'),
    sentenceBert: await optional('sentence_bert_config.json'),
    pooling: await optional('1_Pooling/config.json'),
    tokenizerConfig: await optional('tokenizer_config.json'),
  })
}

async function bytesOf(folder: string, name: string): Promise<Uint8Array> {
  try {
    return await readFile(join(folder, name))
  } catch (cause) {
    throw new UnderstudyError('model-unavailable', `${join(folder, name)} cannot be read`, {
      help: 'Name a folder that understudy compress wrote.',
      cause,
    })
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function corrupt(folder: string, what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('model-corrupt', `${folder} cannot be used: ${what}`, {
    help: 'Compress the model again.',
    cause,
  })
}
