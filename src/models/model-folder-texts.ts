/** The JSON files of a model's folder in the layouts of transformers and sentence-transformers, both ways. Knows no disk. */
import { z } from 'zod'
import type { EncoderConfig } from './encoder-config.ts'
import { modelJson } from './model-json.ts'

const { parse, corrupt } = modelJson(
  'Use a folder that transformers, sentence-transformers or Understudy wrote.',
)

/** What the JSON files say beside the encoder's shape. */
export interface FolderSettings {
  /** Names of the classifier's outputs, in order. */
  readonly labels?: readonly string[] | undefined
  readonly problem?: 'single-label' | 'multi-label' | 'token-labels' | undefined
  /** Whether pooled vectors are brought to unit length, before the classifier where there is one. */
  readonly isNormalised: boolean
}

/** Modules that sentence-transformers runs after pooling. */
export interface FolderModules {
  readonly isNormalised: boolean
  /** Folder of the linear module from the pooled vector to logits. */
  readonly dense?: string | undefined
}

const ACTIVATIONS = { gelu: 'gelu', 'gelu-tanh': 'gelu_pytorch_tanh', relu: 'relu' } as const
const PROBLEMS = {
  'single-label': 'single_label_classification',
  'multi-label': 'multi_label_classification',
} as const
const TOKEN_CLASSIFIER = 'BertForTokenClassification'
const IDENTITY = 'torch.nn.modules.linear.Identity'

/**
 * Text of each JSON file by its path. With the pooler: the layout of `BertForSequenceClassification`; otherwise that of
 * sentence-transformers, where a classifier is one more module, so that its `encode` gives the logits.
 */
export function folderTexts(
  config: EncoderConfig,
  { settings, classCount }: { settings: FolderSettings; classCount: number | null },
): ReadonlyMap<string, string> {
  const isPooled = config.pooling !== 'pooler' && settings.problem !== 'token-labels'
  const files: [string, unknown][] = [
    ['config.json', bertConfig(config, settings)],
    ['sentence_bert_config.json', { max_seq_length: config.maxTokens, do_lower_case: false }],
  ]
  if (isPooled) {
    files.push(
      ['1_Pooling/config.json', poolingConfig(config)],
      ['modules.json', modules(settings.isNormalised, classCount !== null)],
    )
    if (classCount !== null) {
      files.push([
        `${denseFolder(settings.isNormalised)}/config.json`,
        {
          in_features: config.hiddenSize,
          out_features: classCount,
          bias: true,
          activation_function: IDENTITY,
        },
      ])
    }
  }
  return new Map(files.map(([path, json]) => [path, `${JSON.stringify(json, null, 2)}\n`]))
}

/** Where the classifier stands in the layout of sentence-transformers. */
export function denseFolder(isNormalised: boolean): string {
  return isNormalised ? '3_Dense' : '2_Dense'
}

function bertConfig(config: EncoderConfig, { labels, problem }: FolderSettings) {
  return {
    architectures: [architectureOf(config, problem)],
    model_type: 'bert',
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.layerCount,
    num_attention_heads: config.headCount,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxPositions,
    type_vocab_size: config.typeCount,
    layer_norm_eps: config.layerNormEpsilon,
    hidden_act: ACTIVATIONS[config.activation],
    position_embedding_type: 'absolute',
    // Of tokens there is no type of problem: the class says it.
    ...(problem === undefined || problem === 'token-labels'
      ? {}
      : { problem_type: PROBLEMS[problem] }),
    ...(labels === undefined
      ? {}
      : {
          id2label: Object.fromEntries(labels.map((label, id) => [id, label])),
          label2id: Object.fromEntries(labels.map((label, id) => [label, id])),
        }),
  }
}

function architectureOf({ pooling }: EncoderConfig, problem: FolderSettings['problem']): string {
  if (problem === 'token-labels') return TOKEN_CLASSIFIER
  return pooling === 'pooler' ? 'BertForSequenceClassification' : 'BertModel'
}

function poolingConfig({ hiddenSize, pooling }: EncoderConfig) {
  return {
    word_embedding_dimension: hiddenSize,
    pooling_mode_cls_token: pooling === 'cls',
    pooling_mode_mean_tokens: pooling === 'mean',
    pooling_mode_max_tokens: false,
    pooling_mode_mean_sqrt_len_tokens: false,
  }
}

function modules(isNormalised: boolean, hasClassifier: boolean) {
  const list = [
    { path: '', kind: 'Transformer' },
    { path: '1_Pooling', kind: 'Pooling' },
    ...(isNormalised ? [{ path: '2_Normalize', kind: 'Normalize' }] : []),
    ...(hasClassifier ? [{ path: denseFolder(isNormalised), kind: 'Dense' }] : []),
  ]
  return list.map(({ path, kind }, idx) => ({
    idx,
    name: `${idx}`,
    path,
    type: `sentence_transformers.models.${kind}`,
  }))
}

const labelSchema = z.object({
  // Not records: zod's leave out a label called "__proto__".
  id2label: mapOf('string'),
  label2id: mapOf('number'),
  problem_type: z.string().nullish(),
  architectures: z.array(z.string()).nullish(),
})

function mapOf(type: 'string' | 'number') {
  const isMap = (value: unknown) =>
    typeof value === 'object' &&
    !Array.isArray(value) &&
    entriesOf(value).every(([, one]) => typeof one === type)
  return z.custom<object | null>(isMap, `not a map to ${type}s`).optional()
}

function entriesOf(value: unknown): [string, unknown][] {
  return Object.entries(value ?? {})
}

/**
 * Labels and kind of problem from `config.json`; labels that are only numbered (`LABEL_0`, …) are a default of transformers and count as
 * none, unless a run of `train` named them so.
 * @throws model-corrupt when the two maps are not each other's inverse
 */
export function parseFolderLabels(
  text: string,
  { areNamed = false }: { readonly areNamed?: boolean } = {},
): Pick<FolderSettings, 'labels' | 'problem'> {
  const { id2label, label2id, problem_type, architectures } = parse(
    'config.json',
    labelSchema,
    text,
  )
  const problem = architectures?.includes(TOKEN_CLASSIFIER)
    ? 'token-labels'
    : (['single-label', 'multi-label'] as const).find(one => PROBLEMS[one] === problem_type)
  const ids = new Map(entriesOf(id2label))
  const labels = Array.from({ length: ids.size }, (_, id) => ids.get(`${id}`))
  if (!labels.every(label => typeof label === 'string')) {
    throw corrupt('config.json', `id2label does not number ${ids.size} labels from 0`)
  }
  const back = entriesOf(label2id)
  const isInverse =
    back.length === ids.size && back.every(([label, id]) => labels[id as number] === label)
  if (label2id && !isInverse) throw corrupt('config.json', 'id2label and label2id disagree')
  const isNumbered = labels.every((label, id) => label === `LABEL_${id}`)
  const hasNames = labels.length > 0 && (areNamed || !isNumbered)
  return { ...(hasNames ? { labels } : {}), ...(problem === undefined ? {} : { problem }) }
}

const modulesSchema = z.array(z.object({ type: z.string(), path: z.string() })).max(16)

/**
 * What follows pooling. Without `modules.json` the vectors stay as they are.
 * @throws model-corrupt for modules that are not understood, and for paths out of the folder
 */
export function parseFolderModules(text: string | undefined): FolderModules {
  if (text === undefined) return { isNormalised: false }
  const [transformer, pooling, ...rest] = parse('modules.json', modulesSchema, text).map(
    ({ type, path }) => ({ kind: type.slice(type.lastIndexOf('.') + 1), path }),
  )
  const kinds = rest.map(({ kind }) => kind).join()
  if (
    transformer?.kind !== 'Transformer' ||
    transformer.path !== '' ||
    pooling?.kind !== 'Pooling'
  ) {
    throw corrupt('modules.json', 'it does not begin with a Transformer in the root and Pooling')
  }
  if (!['', 'Normalize', 'Dense', 'Normalize,Dense'].includes(kinds)) {
    throw corrupt('modules.json', `after pooling it has ${kinds}, not Normalize or Dense or both`)
  }
  const dense = rest.find(({ kind }) => kind === 'Dense')?.path
  if (dense !== undefined && !/^\w{1,64}$/.test(dense)) {
    throw corrupt('modules.json', 'the path of Dense is not the plain name of a folder')
  }
  return { isNormalised: kinds.startsWith('Normalize'), dense }
}

const denseSchema = z.object({
  in_features: z.int(),
  out_features: z.int(),
  bias: z.literal(true),
  activation_function: z.string().endsWith('.Identity'),
  use_residual: z.literal(false).default(false),
  module_input_name: z.literal('sentence_embedding').default('sentence_embedding'),
})

/** @throws model-corrupt when the module is more than a matrix and a bias */
export function parseDense(text: string): void {
  parse('Dense/config.json', denseSchema, text)
}
