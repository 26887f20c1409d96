/** Minimises a smooth function of many variables by L-BFGS. Knows nothing of what is minimised. */

export interface Evaluation {
  readonly loss: number
  readonly gradient: Float64Array
}

export interface LbfgsOptions {
  readonly maxEvaluations: number
  /** Ends when an iteration lowers the loss by less than this share of it. */
  readonly tolerance?: number
  /** Asked after each iteration; true ends with the best point so far. */
  readonly shouldStop?: () => boolean
}

const MEMORY = 10
const ARMIJO = 1e-4
const MAX_BACKTRACKS = 12
/** Iterations without progress that end the search: losses summed in 32 bits stand still now and then. */
const PATIENCE = 3

interface Pair {
  readonly s: Float64Array
  readonly y: Float64Array
  readonly rho: number
}

/**
 * Limited-memory BFGS (Nocedal 1980; Nocedal & Wright 2006, algorithm 7.4) with backtracking to Armijo's condition.
 * Returns the best point found, after at most `maxEvaluations` evaluations.
 */
export async function minimise(
  start: Float64Array,
  evaluate: (x: Float64Array) => Promise<Evaluation>,
  { maxEvaluations, tolerance = 1e-5, shouldStop = () => false }: LbfgsOptions,
): Promise<Float64Array> {
  let x = start
  let current = await evaluate(x)
  let evaluationCount = 1
  let pairs: Pair[] = []
  let idle = 0
  while (evaluationCount < maxEvaluations && idle < PATIENCE && !shouldStop()) {
    const direction = descentDirection(current.gradient, pairs)
    const slope = dot(direction, current.gradient)
    if (!(slope < 0)) break
    let step = pairs.length === 0 ? 1 / Math.max(1, Math.sqrt(-slope)) : 1
    let next: { x: Float64Array; evaluation: Evaluation } | null = null
    for (let i = 0; i < MAX_BACKTRACKS && evaluationCount < maxEvaluations; i++, step /= 2) {
      const trial = x.map((value, j) => value + step * (direction[j] as number))
      const evaluation = await evaluate(trial)
      evaluationCount++
      if (evaluation.loss <= current.loss + ARMIJO * step * slope) {
        next = { x: trial, evaluation }
        break
      }
    }
    if (next === null) {
      if (pairs.length === 0) break
      pairs = []
      idle++
      continue
    }
    remember(pairs, difference(next.x, x), difference(next.evaluation.gradient, current.gradient))
    idle = current.loss - next.evaluation.loss < tolerance * Math.abs(current.loss) ? idle + 1 : 0
    x = next.x
    current = next.evaluation
  }
  return x
}

function remember(pairs: Pair[], s: Float64Array, y: Float64Array): void {
  const curvature = dot(s, y)
  if (curvature <= 1e-10 * dot(y, y)) return
  pairs.push({ s, y, rho: 1 / curvature })
  if (pairs.length > MEMORY) pairs.shift()
}

/** −H·gradient by the two-loop recursion. */
function descentDirection(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const q = gradient.map(value => -value)
  const alphas: number[] = []
  for (const { s, y, rho } of pairs.toReversed()) {
    const alpha = rho * dot(s, q)
    alphas.push(alpha)
    addScaled(q, y, -alpha)
  }
  const newest = pairs.at(-1)
  if (newest !== undefined) {
    const scale = 1 / (newest.rho * dot(newest.y, newest.y))
    for (let i = 0; i < q.length; i++) q[i] = (q[i] as number) * scale
  }
  for (const { s, y, rho } of pairs) {
    addScaled(q, s, (alphas.pop() as number) - rho * dot(y, q))
  }
  return q
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}

function addScaled(to: Float64Array, from: Float64Array, scale: number): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] as number) + scale * (from[i] as number)
}

function difference(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value - (b[i] as number))
}
