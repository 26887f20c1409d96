/** A small search among recipes within a budget: measure the pace, try a few, keep what does best on the inner split. */
import { hasCode, UnderstudyError } from '../../errors.ts'
import { checkComparable } from '../fine-tune/contrastive.ts'
import { completeRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { trainingRows } from './encode-rows.ts'
import { type FitContext, fitRecipe, measurePace, type RecipeFit } from './fit-recipe.ts'
import type { RunRecord, Tried } from './run-record.ts'
import type { RunState, SearchState } from './run-state.ts'
import {
  type CandidateOptions,
  candidateRecipes,
  fewShotGuess,
  PLANNED_SHARE,
  planEpochs,
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
  /** What to keep instead where the fit on all rows is not done in time; `choose` writes that down. */
  readonly instead: (Fallback & { choose(): Promise<void> }) | null
}

interface Fallback {
  readonly recipe: Recipe
  readonly fit: RecipeFit
}

/** One search under way. */
interface Search extends SearchOptions {
  readonly tried: Tried[]
  /** The best fit of this process. */
  fit: { readonly name: string; readonly fit: RecipeFit } | null
  /** The last one of this process. */
  divergence: UnderstudyError | null
}

const BATCH_TOKENS = 1024
/** Bytes of activations and their gradients per token, layer and hidden unit: attention, three wide vectors, norms. */
const BYTES_PER_UNIT = 4 * 40
const BATCH_SHARE = 0.25
const EPOCHS_WORTH_MEASURING = 2
const HEAD_NAME = 'head on the frozen encoder'
const GUESS_NAME = 'contrastive'

/**
 * Goes on where an earlier search of the same order stopped. Without rows held back it takes its best guess.
 * @throws training-diverged where every recipe diverges; cancelled, runtime-failed
 */
export async function searchRecipe(options: SearchOptions): Promise<SearchResult> {
  const { context, state, method } = options
  const { chosen, tried } = state.search
  if (chosen !== null) return { ...chosen, tried, fit: null, instead: null }
  const search: Search = { ...options, tried: [...tried], fit: null, divergence: null }
  const head = headCandidate(search)
  if (method === 'contrastive') requireComparable(search)
  const isHeadTried =
    method === 'head' || (method === 'auto' && context.encoded.kind === 'single-label')
  if (context.split.selection.length === 0) {
    const guess = isHeadTried ? head : (candidatesOf(search)[0] ?? head)
    const { recipe } = guess
    return choose(search, { recipe, rowsUsed: 'all', tried: [], fit: null, instead: null })
  }
  if (isHeadTried) await tryOne(search, head)
  const guess = method === 'auto' ? await guessInTime(search) : null
  if (guess !== null) {
    const { tried, fit } = search
    const best = bestTrial(search)
    const isKept = best !== undefined && fit?.name === best.name
    const instead = isKept ? { recipe: best.recipe, fit: fit.fit } : null
    return choose(search, { recipe: guess, rowsUsed: 'all', tried, fit: null, instead })
  }
  for (const candidate of candidatesOf(search)) await tryInTime(search, candidate)
  // A budget too small for anything else, or rates too large for it, still give a model.
  if (bestTrial(search) === undefined) await tryOne(search, head)
  if (bestTrial(search) === undefined) throw search.divergence ?? allDiverged()
  return choose(search, bestOf(search))
}

function allDiverged(): UnderstudyError {
  return new UnderstudyError('training-diverged', 'Every recipe diverged, in an earlier process.', {
    help: 'Use the method head, or other rows: look for weights of the base that are not numbers.',
  })
}

/** What is left of the budget, less what earlier processes took of it. */
export function leftOfBudget({ context, state }: Pick<SearchOptions, 'context' | 'state'>): number {
  return context.pace.leftMs() - state.search.spentMs
}

/** @throws request-invalid, before anything is measured */
function requireComparable({ context: { config, encoded, split } }: Search): void {
  const recipe = completeRecipe({ method: 'contrastive' })
  checkComparable(trainingRows(encoded, recipe, split.training), config)
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

function candidatesOf(search: Search): readonly RecipeCandidate[] {
  return candidateRecipes(search.method, candidateOptions(search))
}

/** The recipe for few rows of a label, for as many epochs as there is time for; null where it does not suit. */
async function guessInTime(search: Search): Promise<Recipe | null> {
  const { context } = search
  const { encoded, split } = context
  const guess = fewShotGuess(candidateOptions(search), split.selection.length)
  // An earlier process may have found that it takes too long, or that it diverges.
  if (guess === null || search.tried.some(({ name }) => name === GUESS_NAME)) return null
  context.onProgress?.({ stage: 'measuring', done: 0, total: 0, note: GUESS_NAME })
  const msPerRow = await paceOf(search, { name: GUESS_NAME, recipe: guess })
  if (msPerRow === null) return null
  const epochCount = planEpochs({
    epochCount: guess.epochCount,
    msPerRow,
    rowCount: encoded.sequences.length,
    leftMs: leftOfBudget(search),
  })
  if (epochCount !== null) return { ...guess, epochCount }
  const nothing = { metrics: null, epochLosses: [], heldBackLosses: [], seconds: 0 } as const
  search.tried.push({
    ...nothing,
    name: GUESS_NAME,
    recipe: guess,
    ended: 'out of time',
  })
  return null
}

function candidateOptions(search: Search): CandidateOptions {
  const { fixed, seed, memoryBytes, context } = search
  const { config, encoded, split } = context
  const tokenCount = encoded.sequences.reduce((sum, one) => sum + one.length, 0)
  return {
    config,
    meanTokens: tokenCount / encoded.sequences.length,
    rowCount: split.training.length,
    seed,
    fixed,
    batchTokens: batchTokens(memoryBytes, config.hiddenSize * config.layerCount),
    rowsPerLabel: rowsPerLabel(search),
    leftOpen: leftOpen(search),
    kind: encoded.kind,
  }
}

/** Null where a method that compares rows by their label does not suit. */
function rowsPerLabel({ context: { config, encoded, split } }: Search): number | null {
  const mean = split.training.length / encoded.labels.length
  return encoded.task === 'label' && config.pooling !== 'pooler' && mean >= 2 ? mean : null
}

/** Log loss of the frozen head, as a share of what knowing the frequencies of labels alone would give. */
function leftOpen({ tried }: Search): number | null {
  const metrics = tried.find(({ name }) => name === HEAD_NAME)?.metrics
  if (!metrics) return null
  const entropy = metrics.labels.reduce((sum, { support }) => {
    const share = support / metrics.rowCount
    return share > 0 ? sum - share * Math.log(share) : sum
  }, 0)
  return entropy === 0 ? null : metrics.logLoss / entropy
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
  const { split, encoded } = context
  // An epoch takes longer than a pass through the frozen layers: where not even that is left, measuring would be a waste.
  if (leftOfBudget(search) <= EPOCHS_WORTH_MEASURING * context.prefixMs()) return
  context.onProgress?.({ stage: 'measuring', done: 0, total: 0, note: candidate.name })
  const msPerRow = await paceOf(search, candidate)
  if (msPerRow === null) return
  const epochCount = planTime({
    epochCount: candidate.recipe.epochCount,
    msPerRow,
    trainingCount: split.training.length,
    allCount: encoded.rows.length,
    leftMs: leftOfBudget(search),
    reservedMs: reservedMs(search),
  })
  if (epochCount === null) return
  await tryOne(search, { ...candidate, recipe: { ...candidate.recipe, epochCount } })
}

/** Null where not even a few steps can be taken. */
async function paceOf(search: Search, candidate: RecipeCandidate): Promise<number | null> {
  try {
    return await measurePace(search.context, candidate.recipe)
  } catch (error) {
    await giveUp(search, { ...candidate, seconds: 0 }, error)
    return null
  }
}

/** What the best so far will take to be fitted again on all rows, by what its trial took; next to nothing for a head that is solved for. */
function refitMs(search: Search): number {
  const best = bestTrial(search)
  if (best === undefined || best.heldBackLosses.length === 0) return 0
  const { split, encoded } = search.context
  const epochShare = (best.recipe.stopAfterEpoch ?? 1) / Math.max(1, best.heldBackLosses.length)
  return (1000 * best.seconds * epochShare * encoded.rows.length) / split.training.length
}

/** What other trials must leave for that; nothing where there is no time for it any more. */
function reservedMs(search: Search): number {
  const neededMs = refitMs(search)
  return neededMs <= PLANNED_SHARE * leftOfBudget(search) ? neededMs : 0
}

/** Fits a recipe without the inner split and looks at it there. One that diverges is written down as such. */
async function tryOne(search: Search, { name, recipe }: RecipeCandidate): Promise<void> {
  const { context, state, tried } = search
  if (tried.some(one => one.name === name)) return
  await state.save({ ...stateOf(search), current: { name, recipe } })
  const startMs = context.clock.monotonic()
  const reserved = reservedMs(search)
  const seconds = () => Math.round((context.clock.monotonic() - startMs) / 100) / 10
  try {
    const fit = await fitRecipe(context, {
      recipe,
      rowsUsed: 'training',
      stage: name,
      // Whatever the budget, there is to be a head.
      stopWhen: doneEpochs =>
        (recipe.method !== 'head' || doneEpochs > 0) &&
        PLANNED_SHARE * leftOfBudget(search) <= reserved,
    })
    const { metrics, epochLosses, heldBackLosses, bestEpoch, isComplete } = fit
    const trial = { name, epochLosses, heldBackLosses, seconds: seconds() }
    if (metrics === null && !isComplete) {
      tried.push({ ...trial, recipe, metrics, ended: 'out of time' })
    }
    // Where early stopping ended is part of the recipe: it decides the weights.
    const stopped = bestEpoch > 0 ? { ...recipe, stopAfterEpoch: bestEpoch } : recipe
    if (metrics !== null) tried.push({ ...trial, recipe: stopped, metrics })
    if (bestTrial(search)?.name === name) search.fit = { name, fit }
  } catch (error) {
    return giveUp(search, { name, recipe, seconds: seconds() }, error)
  }
  await state.save({ ...stateOf(search), current: null })
}

/** Writes a recipe that diverges down as such. @throws any other error */
async function giveUp(
  search: Search,
  trial: Pick<Tried, 'name' | 'recipe' | 'seconds'>,
  error: unknown,
): Promise<void> {
  if (!hasCode(error, 'training-diverged')) throw error
  search.divergence = error
  const nothing = { metrics: null, epochLosses: [], heldBackLosses: [], ended: 'diverged' } as const
  search.tried.push({ ...trial, ...nothing })
  await search.state.save({ ...stateOf(search), current: null })
}

function stateOf({ tried, state }: Search): SearchState {
  const spentMs = tried.reduce((sum, { seconds }) => sum + 1000 * seconds, 0)
  return { ...state.search, tried, spentMs }
}

/** The one of the smallest log loss, if any was looked at. */
function bestTrial({ tried }: Search): Tried | undefined {
  const loss = ({ metrics }: Tried) => metrics?.logLoss ?? Number.POSITIVE_INFINITY
  return tried.reduce<Tried | undefined>(
    (best, one) =>
      one.metrics !== null && (best === undefined || loss(one) < loss(best)) ? one : best,
    undefined,
  )
}

/** What `choose` makes a result of. */
type Choice = Omit<SearchResult, 'instead'> & { readonly instead: Fallback | null }

/** Fitting again on all rows is planned for by what the trial took, not by what was expected of it. */
function bestOf(search: Search): Choice {
  const best = bestTrial(search) as Tried
  const { tried, fit: kept } = search
  const fit = kept?.name === best.name ? kept.fit : null
  const { recipe } = best
  const neededMs = refitMs(search)
  // A trial that was stopped has left the time reserved and its margin; what takes longer after all is given up.
  const hasTime = neededMs === 0 || neededMs <= leftOfBudget(search)
  // A fit of an earlier process is gone: something must be fitted again, and all rows make the better model.
  if (fit === null || hasTime) {
    return { recipe, rowsUsed: 'all', tried, fit: null, instead: fit && { recipe, fit } }
  }
  return { recipe, rowsUsed: 'training', tried, fit, instead: null }
}

/** Writes the choice down before acting on it: it depended on timing. */
async function choose(search: Search, choice: Choice): Promise<SearchResult> {
  const save = ({ recipe, rowsUsed }: Pick<Choice, 'recipe' | 'rowsUsed'>) =>
    search.state.save({ ...stateOf(search), current: null, chosen: { recipe, rowsUsed } })
  const { instead } = choice
  await save(choice)
  return {
    ...choice,
    instead: instead && {
      ...instead,
      choose: () => save({ recipe: instead.recipe, rowsUsed: 'training' }),
    },
  }
}
