/** A trained model as a folder others can read: merged weights, adapter, ONNX graph, model card. Knows no training loop. */
import { emit, float32, input } from '../../engine/index.ts'
import type { PeftAdapter } from '../../formats/index.ts'
import {
  type CollectOptions,
  collectAdapter,
  ENCODER_IDS,
  ENCODER_MASK,
  type EncoderConfig,
  type EncoderWeights,
  embedTokens,
  frozenModules,
  type ModelFolder,
  runLayers,
} from '../../models/index.ts'
import { headLogits } from '../fine-tune/classifier-graph.ts'
import type { Recipe } from '../fine-tune/recipe.ts'
import { HEAD_KINDS } from './encode-rows.ts'
import type { TrainTask } from './labelled-rows.ts'

/** An encoder and its head after training. */
export interface TrainedParts {
  readonly task: TrainTask
  readonly config: EncoderConfig
  /** With what training changed in them. */
  readonly weights: EncoderWeights
  /** On the embedding of length 1, or what the pooler or the last layer gives: [hidden, outputs] and [outputs]. */
  readonly head: { readonly weights: Float32Array; readonly bias: Float32Array }
  readonly outputs: readonly string[]
  /** Trained tensors by name, of which adapters are written apart. */
  readonly tensors: ReadonlyMap<string, Float32Array>
  readonly recipe: Recipe
  /** Where it was trained elsewhere; else made of the tensors. */
  readonly adapter?: PeftAdapter | null
}

export interface ExportOptions {
  readonly tokenizer: ModelFolder['tokenizer']
  readonly baseModel: string
  readonly card: string
}

export function exportModel(
  parts: TrainedParts,
  { tokenizer, baseModel, card }: ExportOptions,
): ModelFolder {
  const { task, config, weights, head, outputs, recipe, tensors } = parts
  const classifier = { weight: head.weights, bias: head.bias }
  const adapter =
    parts.adapter ??
    adapterOf(tensors, {
      recipe,
      baseModel,
      // Behind a pooler, PEFT knows the classifier as part of the model.
      ...(config.pooling === 'pooler' && task !== 'spans' && { classifier }),
    })
  return {
    config,
    // The second text of a pair was trained with tokens of type 0, so other types must add nothing.
    weights:
      task === 'pair' ? { ...weights, types: new Float32Array(weights.types.length) } : weights,
    classifier,
    labels: outputs,
    problem: PROBLEMS[task],
    isNormalised: task !== 'spans' && config.pooling !== 'pooler',
    tokenizer,
    onnx: modelGraph(parts),
    ...(adapter && { adapter }),
    card,
  }
}

const PROBLEMS = {
  label: 'single-label',
  labels: 'multi-label',
  pair: 'single-label',
  spans: 'token-labels',
} as const satisfies Record<TrainTask, ModelFolder['problem']>

function adapterOf(
  tensors: ReadonlyMap<string, Float32Array>,
  { recipe, ...settings }: { recipe: Recipe } & Pick<CollectOptions, 'baseModel' | 'classifier'>,
): PeftAdapter | undefined {
  if (recipe.method !== 'lora' || tensors.size === 0) return undefined
  const { rank, alpha } = recipe
  const factors = new Map([...tensors].filter(([name]) => /\.lora_[AB]\.weight$/.test(name)))
  return collectAdapter(factors, { rank, alpha, ...settings })
}

/**
 * The whole model: `inputIds` and `attentionMask` int64 `[batch, length]` in, `logits` float32 [batch, outputs] out, of tokens
 * [batch, length, outputs].
 */
export function modelGraph({
  task,
  config,
  weights,
  head,
  outputs,
}: Pick<
  TrainedParts,
  'task' | 'config' | 'weights' | 'head' | 'outputs'
>): Uint8Array<ArrayBuffer> {
  const ids = input(ENCODER_IDS, 'int64', ['batch', 'length'])
  const mask = input(ENCODER_MASK, 'int64', ['batch', 'length'])
  const modules = frozenModules(config, weights)
  const hidden = runLayers(embedTokens(ids, modules), mask, { config, layers: modules.layers })
  const classCount = outputs.length
  const logits = headLogits(hidden, mask, {
    config,
    classCount,
    scale: 1,
    kind: HEAD_KINDS[task],
    pooler: modules.pooler,
    weight: float32('classifier.weight', head.weights, [config.hiddenSize, classCount]),
    bias: float32('classifier.bias', head.bias, [classCount]),
  })
  return emit('model', { inputs: [ids, mask], outputs: { logits } })
}

/** A head trained on embeddings times `scale`, as one on embeddings of length 1. */
export function unscaledHead(
  head: { readonly weights: Float32Array; readonly bias: Float32Array },
  { scale, isScaled }: { readonly scale: number; readonly isScaled: boolean },
): { weights: Float32Array; bias: Float32Array } {
  const factor = isScaled ? scale : 1
  return { weights: head.weights.map(value => value * factor), bias: head.bias }
}

/**
 * A head that is as sure of its answers as rows held back allow: its logits are divided by the temperature that suits those (Guo et al.
 * 2017). It is never made surer: where all of a few rows are right, no confidence is too high for them.
 */
export function cooledHead(
  { weights, bias }: TrainedParts['head'],
  temperature: number,
): TrainedParts['head'] {
  const divisor = Math.max(1, temperature)
  return {
    weights: weights.map(value => value / divisor),
    bias: bias.map(value => value / divisor),
  }
}
