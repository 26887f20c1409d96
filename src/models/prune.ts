/** Encoders with parts left out: layers, and rows of the vocabulary that a task does not use. Knows no accuracy and no disk. */
import { UnderstudyError } from '../errors.ts'
import type { EncoderConfig } from './encoder-config.ts'
import type { EncoderWeights, LayerWeights } from './encoder-weights.ts'
import type { ModelFolder, TokenizerFile } from './model-folder.ts'
import { createTokenizer, type Tokenizer } from './tokenizer.ts'
import { trimTokenizer } from './trim-tokenizer.ts'

/** Sizes and weights that belong together. */
export interface EncoderParts {
  readonly config: EncoderConfig
  readonly weights: EncoderWeights
}

/**
 * The encoder with the named layers only, in their order. Weights are shared with the original, not copied.
 * @param keep numbers of layers from 0, ascending
 * @throws usage-invalid when they are not
 */
export function keepLayers<Parts extends EncoderParts>(
  parts: Parts,
  keep: readonly number[],
): Parts {
  const { config, weights } = parts
  const isOrdered = keep.every(
    (layer, i) =>
      Number.isInteger(layer) && layer > (keep[i - 1] ?? -1) && layer < config.layerCount,
  )
  if (!isOrdered || keep.length === 0) {
    throw new UnderstudyError(
      'usage-invalid',
      `Layers [${keep.join(', ')}] cannot be kept of a model with layers 0 to ${config.layerCount - 1}`,
      { help: 'Name at least one layer, each once, in ascending order.' },
    )
  }
  return {
    ...parts,
    config: { ...config, layerCount: keep.length },
    weights: { ...weights, layers: keep.map(layer => weights.layers[layer] as LayerWeights) },
  }
}

/** Which of `layerCount` layers to keep: the first and the last always, the rest spread evenly between. */
export function spreadLayers(layerCount: number, keepCount: number): number[] {
  const count = Math.max(1, Math.min(layerCount, keepCount))
  if (count === 1) return [0]
  return Array.from({ length: count }, (_, i) => Math.round((i * (layerCount - 1)) / (count - 1)))
}

/** What trimming changes of a model's folder. */
export type TrimmableModel = EncoderParts & Pick<ModelFolder, 'tokenizer'>

export interface TrimmedModel<Model extends TrimmableModel = TrimmableModel> {
  readonly model: Model
  /** Former number of each token. */
  readonly kept: Int32Array
}

/**
 * The model with the tokens that occur in `texts`, the special ones, and those of one character. These texts get the same
 * tokens, and so the same vectors, as before; other texts are spelled in smaller pieces where they need a token that is gone.
 * @throws model-corrupt, usage-invalid, see `trimTokenizer`
 */
export function trimVocabulary<Model extends TrimmableModel>(
  model: Model,
  texts: readonly string[],
): TrimmedModel<Model> {
  const { config, weights } = model
  const { encode, padId, unknownId = padId } = tokenizerOf(model)
  const used = new Set([padId, unknownId])
  for (const text of texts) for (const id of encode(text)) used.add(id)
  const { json, kept, pieces } = trimTokenizer(textOf(model, 'tokenizer.json') ?? '', {
    used,
    vocabularySize: config.vocabularySize,
  })
  const trimmed = {
    ...model,
    config: { ...config, vocabularySize: kept.length },
    weights: { ...weights, words: pickRows(weights.words, kept, config.hiddenSize) },
    tokenizer: tokenizerFiles(model, { json, kept, pieces }),
  }
  tokenizerOf(trimmed)
  return { model: trimmed, kept }
}

export interface TrimmingReport {
  /** Tokens of the texts as the original cuts them, special ones included. */
  readonly tokenCount: number
  /** Share of these whose piece is gone: spelled in smaller ones, or unknown. */
  readonly goneShare: number
  /** Share of the trimmed model's tokens that are unknown, less what was unknown before. */
  readonly unknownShare: number
  /** Tokens after trimming for each token before: how much longer texts became. */
  readonly growth: number
}

/** What trimming does to texts that it was not made for. */
export function trimmingReport(
  original: TrimmableModel,
  { model, kept }: TrimmedModel,
  texts: readonly string[],
): TrimmingReport {
  const [before, after] = [tokenizerOf(original), tokenizerOf(model)]
  const keptIds = new Set(kept)
  const former = texts.flatMap(before.encode)
  const now = texts.flatMap(after.encode)
  const count = (ids: readonly number[], isWanted: (id: number) => boolean) =>
    ids.filter(isWanted).length
  const unknownCount =
    count(now, id => id === after.unknownId) - count(former, id => id === before.unknownId)
  return {
    tokenCount: former.length,
    goneShare: count(former, id => !keptIds.has(id)) / former.length,
    unknownShare: unknownCount / now.length,
    growth: now.length / former.length,
  }
}

function tokenizerOf(model: TrimmableModel): Tokenizer {
  return createTokenizer({
    tokenizer: textOf(model, 'tokenizer.json') ?? '',
    config: textOf(model, 'tokenizer_config.json'),
    maxTokens: model.config.maxTokens,
  })
}

function textOf({ tokenizer }: TrimmableModel, name: TokenizerFile): string | undefined {
  const bytes = tokenizer.get(name)
  return bytes && new TextDecoder().decode(bytes)
}

function pickRows(table: Float32Array, rows: Int32Array, columns: number): Float32Array {
  const picked = new Float32Array(rows.length * columns)
  rows.forEach((row, i) => {
    picked.set(table.subarray(row * columns, (row + 1) * columns), i * columns)
  })
  return picked
}

/** The tokenizer's files with the new numbers in each that holds any. */
function tokenizerFiles(
  model: TrimmableModel,
  { json, kept, pieces }: { json: string; kept: Int32Array; pieces: readonly string[] },
): ReadonlyMap<TokenizerFile, Uint8Array> {
  const files = new Map(model.tokenizer)
  const set = (name: TokenizerFile, text: string) => files.set(name, new TextEncoder().encode(text))
  set('tokenizer.json', json)
  if (files.has('vocab.txt')) set('vocab.txt', pieces.map(piece => `${piece}\n`).join(''))
  const renumber = new Map(Array.from(kept, (id, at) => [id, at]))
  const added = parseObject(textOf(model, 'added_tokens.json'))
  if (added !== undefined) {
    const entries = Object.entries(added).flatMap(([piece, id]) => {
      const at = renumber.get(id as number)
      return at === undefined ? [] : [[piece, at] as const]
    })
    set('added_tokens.json', JSON.stringify(Object.fromEntries(entries)))
  }
  const config = parseObject(textOf(model, 'tokenizer_config.json'))
  const decoder = config?.added_tokens_decoder
  if (typeof decoder === 'object' && decoder !== null) {
    const entries = Object.entries(decoder).flatMap(([id, token]) => {
      const at = renumber.get(Number(id))
      return at === undefined ? [] : [[`${at}`, token] as const]
    })
    const renumbered = { ...config, added_tokens_decoder: Object.fromEntries(entries) }
    set('tokenizer_config.json', JSON.stringify(renumbered))
  }
  return files
}

/** `createTokenizer` has refused what is not JSON; other files are left as they are when they hold no object. */
function parseObject(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = text === undefined ? undefined : JSON.parse(text)
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
