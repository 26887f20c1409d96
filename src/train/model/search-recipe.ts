/** A small search among recipes within a budget: measure the pace, try a few, keep what does best on the inner split. */
import { isUnderstudyError } from '../../errors.ts'
import { completeRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { type FitContext, fitRecipe, measurePace, type RecipeFit } from './fit-recipe.ts'
import type { RunRecord, Tried } from './run-record.ts'
import type { RunState, SearchState } from './run-state.ts'
import {
  candidateRecipes,
  planTime,
  type RecipeCandidate,
  type SearchMethod,
} from './search-plan.ts'

export interface SearchOptions {
  readonly method: SearchMethod
  readonly fixed: Partial<Recipe>
  readonly seed: number
  readonly memoryBytes: number
  readonly context: FitContext
  readonly state: RunState
}

export interface SearchResult {
  readonly recipe: Recipe
  readonly rowsUsed: RunRecord['rowsUsed']
  readonly tried: readonly Tried[]
  /** Where the fit of the search is the one to keep. */
  readonly fit: RecipeFit | null
}

type Trial = SearchState['tried'][number]

/** One search under way. */
interface Search extends SearchOptions {
  readonly tried: Trial[]
  /** Fits of this process, by the name of their trial. */
  readonly fits: Map<string, RecipeFit>
  /** Reserved for fitting the best so far on all rows. */
  reservedMs: number
}

const BATCH_TOKENS = 1024
/** Bytes of activations and their gradients per token, layer and hidden unit: attention, three wide vectors, norms. */
const BYTES_PER_UNIT = 4 * 40
const BATCH_SHARE = 0.25
const EPOCHS_WORTH_MEASURING = 2
const HEAD_NAME = 'head on the frozen encoder'

/**
 * Goes on where an earlier search of the same order stopped. Without rows held back it takes its best guess.
 * @throws training-diverged where every recipe diverges; cancelled, runtime-failed
 */
export async function searchRecipe(options: SearchOptions): Promise<SearchResult> {
  const { context, state, method } = options
  const { chosen, tried } = state.search
  if (chosen !== null) return { ...chosen, tried, fit: null }
  const search: Search = { ...options, tried: [...tried], fits: new Map(), reservedMs: 0 }
  const head = headCandidate(search)
  const candidates = candidatesOf(search)
  const isHeadTried =
    method === 'head' || (method === 'auto' && context.encoded.kind === 'single-label')
  if (context.split.selection.length === 0) {
    const guess = isHeadTried ? head : (candidates[0] ?? head)
    return choose(search, { recipe: guess.recipe, rowsUsed: 'all', tried: [], fit: null })
  }
  if (isHeadTried) await tryOne(search, { ...head, isRefit: true })
  for (const candidate of candidates) await tryInTime(search, candidate)
  // A budget too small for anything else still gives a model.
  if (search.tried.length === 0) await tryOne(search, { ...head, isRefit: true })
  return choose(search, bestOf(search))
}

function headCandidate({
  fixed,
  seed,
  memoryBytes,
  context: { config },
}: SearchOptions): RecipeCandidate {
  return {
    name: HEAD_NAME,
    recipe: completeRecipe({
      scale: 20,
      batchTokens: batchTokens(memoryBytes, config.hiddenSize * config.layerCount),
      seed,
      ...fixed,
      method: 'head',
    }),
  }
}

function candidatesOf({ method, fixed, seed, memoryBytes, context }: SearchOptions) {
  const { config, encoded, split } = context
  const tokenCount = encoded.sequences.reduce((sum, one) => sum + one.length, 0)
  return candidateRecipes(method, {
    config,
    meanTokens: tokenCount / encoded.sequences.length,
    rowCount: split.training.length,
    seed,
    fixed,
    batchTokens: batchTokens(memoryBytes, config.hiddenSize * config.layerCount),
  })
}

/** As many tokens at once as a quarter of the memory holds, the usual number at most. */
function batchTokens(memoryBytes: number, units: number): number {
  const most = Math.floor((BATCH_SHARE * memoryBytes) / (BYTES_PER_UNIT * units))
  return Math.max(1, Math.min(BATCH_TOKENS, most))
}

/** Tries a candidate for as many epochs as there is time for, or not at all. */
async function tryInTime(search: Search, candidate: RecipeCandidate): Promise<void> {
  const { context, state, tried } = search
  if (tried.some(({ name }) => name === candidate.name)) return
  const { current } = state.search
  if (current?.name === candidate.name) return tryOne(search, current)
  const { pace, split, encoded } = context
  const leftMs = () => pace.leftMs() - state.search.spentMs
  // An epoch takes longer than a pass through the frozen layers: where not even that is left, measuring would be a waste.
  if (leftMs() <= EPOCHS_WORTH_MEASURING * context.prefixMs()) return
  context.onProgress?.({ stage: 'measuring', done: 0, total: 0, note: candidate.name })
  const msPerRow = await measurePace(context, candidate.recipe)
  const plan = planTime({
    epochCount: candidate.recipe.epochCount,
    msPerRow,
    trainingCount: split.training.length,
    allCount: encoded.rows.length,
    leftMs: leftMs(),
    reservedMs: search.reservedMs,
  })
  if (plan === null) return
  const { epochCount, isRefit } = plan
  await tryOne(search, { ...candidate, recipe: { ...candidate.recipe, epochCount }, isRefit })
  const isBest = bestTrial(search)?.name === candidate.name
  if (isBest) search.reservedMs = isRefit ? msPerRow * encoded.rows.length * epochCount : 0
}

/** Fits a recipe without the inner split and looks at it there. One that diverges is written down as such. */
async function tryOne(
  search: Search,
  { name, recipe, isRefit }: RecipeCandidate & { readonly isRefit: boolean },
): Promise<void> {
  const { context, state, tried, fits } = search
  if (tried.some(one => one.name === name)) return
  await state.save({ ...stateOf(search), current: { name, recipe, isRefit } })
  const startMs = context.clock.monotonic()
  const common = { name, recipe, isRefit }
  const seconds = () => Math.round((context.clock.monotonic() - startMs) / 100) / 10
  try {
    const fit = await fitRecipe(context, { recipe, rowsUsed: 'training', stage: name })
    fits.set(name, fit)
    const { metrics, epochLosses, heldBackLosses, bestEpoch } = fit
    // Where early stopping ended is part of the recipe: it decides the weights.
    const stopped = bestEpoch > 0 ? { ...recipe, stopAfterEpoch: bestEpoch } : recipe
    tried.push({
      ...common,
      recipe: stopped,
      metrics,
      epochLosses,
      heldBackLosses,
      seconds: seconds(),
    })
  } catch (error) {
    const hasNothing = tried.every(({ metrics }) => metrics === null)
    if (!isUnderstudyError(error) || error.code !== 'training-diverged' || hasNothing) throw error
    tried.push({
      ...common,
      metrics: null,
      epochLosses: [],
      heldBackLosses: [],
      seconds: seconds(),
    })
  }
  await state.save({ ...stateOf(search), current: null })
}

function stateOf({ tried, state }: Search): SearchState {
  const spentMs = tried.reduce((sum, { seconds }) => sum + 1000 * seconds, 0)
  return { ...state.search, tried, spentMs }
}

function bestTrial({ tried }: Search): Trial | undefined {
  const loss = ({ metrics }: Trial) => metrics?.logLoss ?? Number.POSITIVE_INFINITY
  return tried.reduce<Trial | undefined>(
    (best, one) => (best === undefined || loss(one) < loss(best) ? one : best),
    undefined,
  )
}

function bestOf(search: Search): SearchResult {
  const best = bestTrial(search) as Trial
  const { tried, fits } = search
  if (best.isRefit) return { recipe: best.recipe, rowsUsed: 'all', tried, fit: null }
  return { recipe: best.recipe, rowsUsed: 'training', tried, fit: fits.get(best.name) ?? null }
}

/** Writes the choice down before acting on it: it depended on timing. */
async function choose(search: Search, result: SearchResult): Promise<SearchResult> {
  const { recipe, rowsUsed } = result
  await search.state.save({ ...stateOf(search), current: null, chosen: { recipe, rowsUsed } })
  return result
}
