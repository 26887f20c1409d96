/** Which recipes the search tries, in which order, and for how many epochs there is time. Knows no data. */
import type { EncoderConfig } from '../../models/index.ts'
import type { HeadKind } from '../fine-tune/classifier-graph.ts'
import { completeRecipe, type Recipe, type TrainingMethod } from '../fine-tune/recipe.ts'

export type SearchMethod = 'auto' | TrainingMethod

export interface RecipeCandidate {
  readonly name: string
  readonly recipe: Recipe
}

export interface CandidateOptions {
  readonly config: EncoderConfig
  /** Mean tokens of a row. */
  readonly meanTokens: number
  readonly rowCount: number
  readonly seed: number
  /** What the user fixed. */
  readonly fixed: Partial<Recipe>
  readonly batchTokens: number
  /** Mean rows of a label; null where rows cannot be compared by it. */
  readonly rowsPerLabel?: number | null
  /** Share of the labels' entropy that a head on the frozen encoder leaves; null where it was not measured. */
  readonly leftOpen?: number | null
  readonly kind?: HeadKind
}

/** Steps below which a fine-tuned net is still on its way, whatever the number of rows. */
const FEWEST_STEPS = 150
const MOST_EPOCHS = 20
/** Rows of a batch at most, as in fine-tuning. */
const BATCH_ROWS = 32
/** With what the experiments of docs/log.md were made: dropout behind attention and feed-forward of the layers that train. */
const TUNING = { dropout: 0.1, beta2: 0.98 } as const
/** More is left out where there is less to learn from: worth 0.7 points on twelve draws of ten rows a label, nothing on five others (docs/log.md). */
const FEW_ROWS = { dropout: 0.2, tokenDropout: 0.1 } as const
/**
 * Up to so many rows of a label, comparing rows with each other may do better than asking for their label alone, and the label's
 * name says something that they do not.
 */
const FEW_ROWS_PER_LABEL = 16
/** Rows held back that may rank recipes; 154 did so by chance (docs/log.md), and fewer are worth more as rows to learn from. A guess. */
const ENOUGH_TO_CHOOSE_BY = 400
/** From here on the frozen embedding hardly knows what is asked for: its layers must learn it, the lower ones too. */
const MUCH_LEFT_OPEN = 0.4

/**
 * Best guess first. Layers, rates and epochs come from experiments on the training parts of data sets, see docs/log.md: the top
 * two layers at 2e-4 for four epochs do better than more layers where the frozen head does well already, and LoRA comes close
 * at more epochs; where it does not, all layers come first.
 */
export function candidateRecipes(
  method: SearchMethod,
  options: CandidateOptions,
): readonly RecipeCandidate[] {
  const { config, seed, fixed, batchTokens, rowsPerLabel = null, leftOpen = null } = options
  const areFew = rowsPerLabel !== null && rowsPerLabel <= FEW_ROWS_PER_LABEL
  const common = { scale: 20, seed, batchTokens, ...TUNING, labelNames: areFew }
  const make = (name: string, given: Parameters<typeof completeRecipe>[0]): RecipeCandidate => ({
    name,
    recipe: completeRecipe({
      ...common,
      ...given,
      epochCount: enoughEpochs(given.epochCount ?? 1, options),
      ...fixed,
    }),
  })
  const tuning =
    (method: 'full' | 'lora') => (count: number, learningRate: number, epochCount: number) => {
      const layerCount = Math.min(count, config.layerCount)
      const name = `${method}, ${layerCount === config.layerCount ? 'all' : `top ${layerCount}`} layers`
      return make(name, { method, layerCount, learningRate, epochCount })
    }
  const [full, lora] = [tuning('full'), tuning('lora')]
  const deep = full(config.layerCount, 1e-4, 3)
  const contrastive = (): RecipeCandidate => ({
    name: 'contrastive',
    recipe: completeRecipe({ ...common, ...FEW_ROWS, method: 'contrastive', ...fixed }),
  })
  if (options.kind === 'tokens' && (method === 'full' || method === 'auto')) {
    // A sentence encoder's upper layers have words pooled into one; naming them takes all layers, and larger steps.
    const tokens = [full(config.layerCount, 2e-4, 4), full(3, 3e-4, 5)]
    return (method === 'full' ? tokens : [...tokens, lora(config.layerCount, 2e-3, 6)]).filter(
      isNew,
    )
  }
  const isDeepFirst = leftOpen !== null && leftOpen > MUCH_LEFT_OPEN
  switch (method) {
    case 'head':
      return []
    case 'full':
      return [full(2, 2e-4, 4), deep, full(1, 3e-4, 6)].filter(isNew)
    case 'lora':
      return [lora(3, 2e-3, 4), lora(2, 2e-3, 4)].filter(isNew)
    case 'contrastive':
      return [contrastive()]
    case 'auto': {
      const shallow = [full(2, 2e-4, 4), ...(areFew ? [contrastive()] : []), lora(2, 2e-3, 4)]
      return (isDeepFirst ? [deep, ...shallow] : [...shallow, full(1, 3e-4, 6), deep]).filter(isNew)
    }
  }
}

/**
 * What to fit on all rows without trying it, where a label has few of them and too few would be held back to choose by: with ten rows a
 * label, comparing rows did better than the frozen head in both draws that it was chosen on, by 1.7 and 2.2 points (docs/log.md). Null elsewhere.
 */
export function fewShotGuess(options: CandidateOptions, heldBackCount: number): Recipe | null {
  const { rowsPerLabel = null } = options
  const areFew = rowsPerLabel !== null && rowsPerLabel <= FEW_ROWS_PER_LABEL
  if (!areFew || heldBackCount >= ENOUGH_TO_CHOOSE_BY) return null
  return candidateRecipes('contrastive', options)[0]?.recipe ?? null
}

/** As many epochs over `rowCount` rows as there is time for; null where even two are too long. */
export function planEpochs({
  epochCount,
  msPerRow,
  rowCount,
  leftMs,
}: Pick<TimeOptions, 'epochCount' | 'msPerRow' | 'leftMs'> & {
  readonly rowCount: number
}): number | null {
  const most = Math.min(epochCount, affordable(PLANNED_SHARE * leftMs, msPerRow * rowCount))
  return most < Math.min(FEWEST_EPOCHS, epochCount) ? null : most
}

/** An encoder of two layers has no others to leave out. */
function isNew({ name }: RecipeCandidate, at: number, all: readonly RecipeCandidate[]): boolean {
  return all.findIndex(one => one.name === name) === at
}

/** More epochs where there are few rows. */
function enoughEpochs(
  epochCount: number,
  { rowCount, meanTokens, batchTokens }: CandidateOptions,
): number {
  const rowsAtOnce = Math.max(1, Math.min(BATCH_ROWS, batchTokens / Math.max(1, meanTokens)))
  const steps = Math.max(1, rowCount / rowsAtOnce)
  return Math.min(MOST_EPOCHS, Math.max(epochCount, Math.ceil(FEWEST_STEPS / steps)))
}

export interface TimeOptions {
  readonly epochCount: number
  readonly msPerRow: number
  readonly trainingCount: number
  readonly allCount: number
  readonly leftMs: number
  /** Reserved already for fitting the best so far on all rows. */
  readonly reservedMs: number
}

/** Share of the time left that may be planned for: a busy machine slows down. */
export const PLANNED_SHARE = 0.85
/** A learning rate cannot rise and fall in less. */
const FEWEST_EPOCHS = 2

/**
 * As many epochs as there is time for. Time to fit it again on all rows is left free, unless that would cut the epochs by more
 * than a quarter; null where even two epochs are too long.
 */
export function planTime(options: TimeOptions): number | null {
  const { epochCount, msPerRow, trainingCount, allCount, leftMs, reservedMs } = options
  const freeMs = PLANNED_SHARE * leftMs
  // Trial and refit; the better one so far may have to be fitted again instead, which then takes its reserve.
  const both = Math.min(epochCount, affordable(freeMs, msPerRow * (trainingCount + allCount)))
  const fitsReserve = msPerRow * trainingCount * both + reservedMs <= freeMs
  if (both >= 0.75 * epochCount && fitsReserve) return both
  if (reservedMs > 0) return null
  return planEpochs({ epochCount, msPerRow, rowCount: trainingCount, leftMs })
}

function affordable(freeMs: number, msPerEpoch: number): number {
  return Math.max(0, Math.floor(freeMs / Math.max(1e-6, msPerEpoch)))
}
