/** Why nothing could be promised, in one sentence, and about how much more traffic it would take. */
import { betaTails, zeroLossMinimum } from '../stats/index.ts'
import type { Tally } from './tally.ts'
import { gridStarts } from './threshold-grid.ts'
import type { CertificationInput, NoClaim } from './types.ts'

/** Beyond this many certification examples a forecast is no longer worth printing. */
const FORESEEABLE_EXAMPLES = 1_000_000

/** The no-claim value for a look in which no threshold passed. */
export function explainNoClaim(
  input: CertificationInput,
  counts: Tally,
  requestsPerExample: number,
): NoClaim {
  const { targetRisk, delta, promise, grid } = input
  const level = testLevel(input)
  const needed = counts.n === 0 || grid.length === 0 ? null : examplesNeeded(input, counts, level)
  const moreExamples =
    counts.n === 0 && grid.length > 0
      ? zeroLossMinimum(targetRisk, level)
      : needed === null
        ? null
        : Math.max(1, needed - counts.n)
  const moreRequests = moreExamples === null ? null : twoDigits(moreExamples * requestsPerExample)
  const code = codeFor(counts, grid.length, needed)
  const because = sentence(code, { counts, targetRisk, delta, moreRequests })
  return { claimed: false, promise, targetRisk, delta, n: counts.n, because, code, moreRequests }
}

/**
 * Certification examples at which the promise should become provable if coverage and risk stay what they look like, by
 * the best start; null where risk is too close to the target or above it. A forecast, not a bound.
 */
function examplesNeeded(input: CertificationInput, counts: Tally, level: number): number | null {
  const { targetRisk, promise, grid } = input
  const starts = promise === 'selective' ? gridStarts(grid.length) : [0]
  let best: number | null = null
  for (const j of starts) {
    const served = counts.servedCounts[j] as number
    const trials = promise === 'selective' ? served : counts.n
    const share = promise === 'selective' ? served / counts.n : 1
    if (share === 0) continue
    const rate = expectedRate(counts.lossSums[j] as number, trials, targetRisk)
    const needed = trialsNeeded(rate, targetRisk, level)
    if (needed === null) continue
    const examples = Math.ceil(needed / share)
    if (examples <= FORESEEABLE_EXAMPLES && (best === null || examples < best)) best = examples
  }
  return best
}

/** Loss rate with a little prior belief (half the target, worth 1/α examples), so that a handful of examples decides nothing. */
function expectedRate(lossSum: number, trials: number, targetRisk: number): number {
  return (lossSum + 0.5) / (trials + 1 / targetRisk)
}

/** Smallest number of trials at which the expected losses pass the test; null: not foreseeable. */
function trialsNeeded(rate: number, targetRisk: number, level: number): number | null {
  // The binomial p-value interpolated between whole numbers of losses, so that it falls smoothly with the trials.
  const passes = (trials: number) => {
    const lossSum = rate * trials
    return betaTails(lossSum + 1, trials - lossSum, targetRisk).upper <= level
  }
  if (rate >= targetRisk) return null
  let high = zeroLossMinimum(targetRisk, level)
  while (!passes(high)) {
    high *= 2
    if (high > FORESEEABLE_EXAMPLES) return null
  }
  let low = Math.floor(high / 2)
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (passes(middle)) high = middle
    else low = middle
  }
  return high
}

function testLevel({ promise, delta, grid }: CertificationInput): number {
  return promise === 'selective' ? delta / Math.max(1, gridStarts(grid.length).length) : delta
}

function codeFor(counts: Tally, gridLength: number, needed: number | null): NoClaim['code'] {
  if (counts.n === 0) return 'no-examples'
  if (needed !== null) return 'too-few-examples'
  if (gridLength === 0 || (counts.servedCounts.at(-1) ?? 0) === 0) return 'score-uninformative'
  const riskAt = (j: number) =>
    (counts.lossSums[j] as number) / Math.max(1, counts.servedCounts[j] as number)
  const overall = riskAt(gridLength - 1)
  const surest = Math.min(...gridStarts(gridLength).map(riskAt))
  // Being surer should mean being righter; where it does not, and most answers are right, the score is to blame.
  return overall < 0.5 && surest > 0.8 * overall ? 'score-uninformative' : 'risk-too-high'
}

interface SentenceParts {
  readonly counts: Tally
  readonly targetRisk: number
  readonly delta: number
  readonly moreRequests: number | null
}

function sentence(code: NoClaim['code'], parts: SentenceParts): string {
  const { counts, targetRisk, delta, moreRequests } = parts
  const target = `a risk of at most ${percent(targetRisk)} at ${percent(1 - delta)} confidence`
  const overall = percent(
    (counts.lossSums.at(-1) ?? 0) / Math.max(1, counts.servedCounts.at(-1) ?? 0),
  )
  switch (code) {
    case 'no-examples':
      return `There is no certification example yet, so ${target} cannot be proved.`
    case 'too-few-examples':
      return `${counts.n} distinct inputs are too few to prove ${target}; about ${(moreRequests ?? 0).toLocaleString('en')} more requests should do.`
    case 'score-uninformative':
      return `The score does not tell right answers from wrong ones, so no threshold keeps ${target}.`
    case 'risk-too-high':
      return `Even the surest answers differ too often for ${target}; ${overall} differ when all are answered.`
  }
}

function percent(rate: number): string {
  return `${Number((rate * 100).toPrecision(3))} %`
}

/** "About N": two significant digits, rounded up. */
function twoDigits(count: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, count))) - 1)
  return Math.ceil(count / unit - 1e-9) * unit
}
