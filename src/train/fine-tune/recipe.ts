/** How a fine-tuning run goes, as plain JSON that repeats it. Knows no data, no model and no machine. */
import { z } from 'zod'
import { UnderstudyError } from '../../errors.ts'
import { sha256 } from '../../platform/index.ts'
import { canonicalJson } from '../../util/index.ts'

const count = z.int().min(1)
const share = z.number().min(0).max(1)
const rate = z.number().positive().max(10)

/** Anything that changes the weights is here, and nothing else. */
export const recipeSchema = z.strictObject({
  version: z.literal(1),
  /**
   * What trains: the head alone, LoRA adapters and the head, all weights of the adapted layers, or those by comparing rows of a
   * batch as well.
   */
  method: z.enum(['head', 'lora', 'full', 'contrastive']),
  /** Inner dimension of an adapter; as in PEFT. */
  rank: count.max(1024),
  /** Adapters count for `alpha / rank`; as in PEFT. */
  alpha: z.number().positive().max(10_000),
  /** Linear layers that get an adapter, by the end of their module path; as in PEFT. */
  targetModules: z
    .array(z.string().regex(/^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/, 'is not a module name'))
    .min(1)
    .max(32),
  /** How many layers train, counted from the top; null: all, and with `full` the embeddings too. */
  layerCount: count.max(1024).nullable(),
  /** Epochs for which the learning rate is laid out. */
  epochCount: count.max(10_000),
  /** Ends the run after this epoch, with the learning rate still on its way; null: after the last. */
  stopAfterEpoch: count.max(10_000).nullable(),
  /** Padded tokens of one batch at most: rows × the longest row, rounded as the batches are. */
  batchTokens: count.max(16_777_216),
  /** Batches whose gradients are added up before one update. */
  accumulationSteps: count.max(65_536),
  /** Peak learning rate of encoder weights and adapters. */
  learningRate: rate,
  /** Peak learning rate of the linear head. */
  headLearningRate: rate,
  /** Decoupled, as in AdamW; biases and layer norms are exempt. */
  weightDecay: share,
  /** Share of all updates in which the learning rate rises from 0. */
  warmupShare: share,
  /** How the learning rate falls afterwards; `linear` and `cosine` end at 0. */
  schedule: z.enum(['linear', 'cosine', 'constant']),
  /** How fast AdamW forgets squared gradients, its β₂. */
  beta2: z.number().min(0).max(0.999_999),
  /** Share of hidden numbers set to 0 behind attention and feed-forward of the layers that train (Srivastava et al. 2014). */
  dropout: z.number().min(0).max(0.9),
  /** Share of a text's tokens that a step does not see, drawn anew each time; 0: it sees all. */
  tokenDropout: z.number().min(0).max(0.9).default(0),
  /** Probability that the target spreads evenly over all classes. */
  labelSmoothing: share.refine(value => value < 1, 'must be below 1'),
  /** `balanced`: rows weigh inversely to the frequency of their class. */
  classWeights: z.enum(['none', 'balanced']),
  /** Softens the targets of a teacher, and what is compared with them (Hinton et al. 2015); 1 leaves them alone. */
  temperature: z.number().min(1).max(100),
  /** Whether a label's own name, read as a text, is one more row of that label. */
  labelNames: z.boolean(),
  /** Of `contrastive`: share of the loss that compares rows; the rest is the head's. */
  contrastShare: share,
  /** Of `contrastive`: cosines are divided by it. */
  contrastTemperature: z.number().min(0.001).max(10),
  /** Of `contrastive`: rows of one class that are put into a batch together. */
  rowsPerClass: count.min(2).max(1024),
  /** The head sees the embedding, of length 1, times this. */
  scale: z.number().positive().max(10_000),
  /** Gradients longer than this are shortened to it. */
  maxGradientNorm: z.number().positive(),
  /** Decides the initial adapters and the order of batches. */
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
})

export type Recipe = z.infer<typeof recipeSchema>
export type TrainingMethod = Recipe['method']

/** What a field is when nobody says otherwise, and why. */
interface RecipeDefault<Key extends keyof Recipe> {
  readonly value: Readonly<Record<TrainingMethod, Recipe[Key]>>
  readonly reason: string
}

type RecipeDefaults = {
  readonly [Key in Exclude<keyof Recipe, 'version' | 'method'>]: RecipeDefault<Key>
}

/** One value for all methods. */
function always<Value>(value: Value): Readonly<Record<TrainingMethod, Value>> {
  return { head: value, lora: value, full: value, contrastive: value }
}

/** The first guess for each field. The search in `train` starts here; nothing here was tuned on a test split. */
export const RECIPE_DEFAULTS: RecipeDefaults = {
  rank: { value: always(8), reason: 'default of PEFT' },
  alpha: { value: always(16), reason: 'twice the rank, the usual ratio of published LoRA recipes' },
  targetModules: {
    value: always(['query', 'value']),
    reason: 'the choice of the LoRA paper, and the default of PEFT for BERT',
  },
  layerCount: { value: always(null), reason: 'all layers, as in the plain recipes' },
  epochCount: {
    value: { head: 30, lora: 6, full: 6, contrastive: 5 },
    reason:
      'a head alone is solved for where a text has one label; elsewhere it takes more epochs, each of them cheaper',
  },
  stopAfterEpoch: { value: always(null), reason: 'early stopping sets it, by an inner split' },
  batchTokens: {
    value: always(1024),
    reason: 'about 32 short requests of 32 tokens; bounds memory whatever the length of the texts',
  },
  accumulationSteps: { value: always(1), reason: 'a batch fits into memory by batchTokens' },
  learningRate: {
    value: { head: 1e-3, lora: 1e-3, full: 5e-5, contrastive: 1e-4 },
    reason:
      'full: default of the Hugging Face Trainer; adapters, which start at 0, take larger steps; contrastive: docs/log.md',
  },
  headLearningRate: {
    value: { head: 1e-3, lora: 1e-3, full: 1e-3, contrastive: 5e-4 },
    reason:
      'a head that starts from nothing must move faster than the encoder; that of contrastive starts fitted',
  },
  weightDecay: { value: always(0.01), reason: 'default of AdamW in PyTorch' },
  warmupShare: { value: always(0.1), reason: 'first moments of AdamW are noisy at the start' },
  schedule: { value: always('linear'), reason: 'default of the Hugging Face Trainer' },
  beta2: { value: always(0.999), reason: 'default of AdamW in PyTorch' },
  dropout: { value: always(0), reason: 'compared like with like; the search tries others' },
  tokenDropout: {
    value: always(0),
    reason: 'compared like with like; the search drops some where a label has few rows',
  },
  labelSmoothing: {
    value: always(0),
    reason: 'plain cross-entropy unless the search finds better',
  },
  classWeights: { value: always('none'), reason: 'the promise counts requests, not classes' },
  temperature: { value: always(1), reason: 'the probabilities of a teacher as they are' },
  labelNames: {
    value: always(false),
    reason: 'among many rows one more says nothing; the search reads names where rows are few',
  },
  contrastShare: {
    value: always(0.5),
    reason: 'both losses on equal terms, as in the first experiments of docs/log.md',
  },
  contrastTemperature: { value: always(0.1), reason: 'that of the paper (Khosla et al. 2020)' },
  rowsPerClass: {
    value: always(2),
    reason: 'one pair per class leaves room for most other classes',
  },
  scale: {
    value: { head: 16, lora: 16, full: 16, contrastive: 20 },
    reason: 'embeddings of length 1 alone would need a head with very large weights',
  },
  maxGradientNorm: { value: always(1), reason: 'default of the Hugging Face Trainer' },
  seed: { value: always(0), reason: 'any fixed number repeats a run' },
}

/** Settings that only some methods heed. */
const HEEDED_BY: { readonly [Key in keyof Recipe]?: readonly TrainingMethod[] } = {
  rank: ['lora'],
  alpha: ['lora'],
  targetModules: ['lora'],
  layerCount: ['lora', 'full', 'contrastive'],
  learningRate: ['lora', 'full', 'contrastive'],
  dropout: ['lora', 'full', 'contrastive'],
  contrastShare: ['contrastive'],
  contrastTemperature: ['contrastive'],
  rowsPerClass: ['contrastive'],
}

/** What of a recipe its method heeds, for people. */
export function heededSettings(recipe: Recipe): Readonly<Partial<Recipe>> {
  const isHeeded = (key: string) => HEEDED_BY[key as keyof Recipe]?.includes(recipe.method) ?? true
  return Object.fromEntries(Object.entries(recipe).filter(([key]) => isHeeded(key)))
}

/**
 * A complete recipe from what is given.
 * @example completeRecipe({ method: 'lora', rank: 4 }).alpha // 16
 * @throws request-invalid naming the field
 */
export function completeRecipe(
  given: Partial<Omit<Recipe, 'version'>> & { method: TrainingMethod },
): Recipe {
  const defaults = Object.entries(RECIPE_DEFAULTS).map(([key, { value }]) => [
    key,
    value[given.method],
  ])
  return parseRecipe({ version: 1, ...Object.fromEntries(defaults), ...given })
}

/**
 * Checks a recipe that comes from outside.
 * @throws request-invalid naming the field
 */
export function parseRecipe(value: unknown): Recipe {
  const parsed = recipeSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = ['recipe', ...(issue?.path ?? [])].join('.')
  throw new UnderstudyError('request-invalid', `${field}: ${issue?.message ?? 'invalid'}`, {
    help: 'Start from a recipe that Understudy wrote, and change only what is in it.',
    details: { param: field },
  })
}

/**
 * Names a run by everything that decides its weights: 16 hexadecimal digits.
 * @param inputs SHA-256 of the encoder's weights and of the training rows
 */
export function recipeId(
  recipe: Recipe,
  { weightsHash, dataHash }: { weightsHash: string; dataHash: string },
): string {
  const { tokenDropout, ...others } = recipe
  // Runs from before this field was there keep their names.
  const named = tokenDropout === 0 ? others : recipe
  return sha256(canonicalJson({ recipe: named, weightsHash, dataHash })).slice(0, 16)
}
