/**
 * Which coverage levels the threshold grid should have: mean certified coverage over simulated score shapes, sample sizes
 * and target risks. Simulated data only.
 * Usage: npm run build && node bench/research/threshold-grid.mjs [repetitions]
 */
import { COVERAGE_LEVELS, gridStarts, serves, thresholdGrid } from '../../dist/evals/index.js'
import { binomialCdf } from '../../dist/stats/index.js'
import { createRng } from '../../dist/util/index.js'

const repetitions = Number(process.argv[2] ?? 200)
const DELTA = 0.1
const RISKS = [0.01, 0.02, 0.05, 0.1]

const LEVELS = {
  shipped: COVERAGE_LEVELS,
  even: Array.from({ length: 20 }, (_, i) => (i + 1) / 20),
  'low start': [
    0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.84, 0.88, 0.9, 0.92,
    0.95, 0.98, 1,
  ],
  'high start': [
    0.35, 0.42, 0.48, 0.53, 0.57, 0.62, 0.66, 0.7, 0.73, 0.76, 0.79, 0.82, 0.85, 0.87, 0.89, 0.91,
    0.93, 0.95, 0.975, 1,
  ],
}

/** P(wrong) as a function of a uniform rank u; the score is calibrated. */
const SHAPES = {
  sharp: u => 0.5 * Math.max(0, 1 - u / 0.25) + 0.002 + 0.01 * (1 - u),
  'many classes': u => 0.55 * Math.exp(-u / 0.13) + 0.012 * (1 - u) + 0.003,
  middling: u => 0.35 * (1 - u) ** 2.5 + 0.003,
  blunt: u => 0.2 * (1 - u) + 0.002,
  easy: u => 0.3 * Math.exp(-u / 0.06) + 0.003,
  'noisy lead': u => 0.4 * (1 - u) ** 2 + 0.015,
}

/** Coverage certified by fixed-sequence testing; `isPassedOn`: a sequence that reaches the next start adds its level. */
function certifiedCoverage({ scores, losses }, grid, targetRisk, isPassedOn) {
  const starts = gridStarts(grid.length)
  let carried = 0
  let best = 0
  for (let j = 0; j < grid.length; j++) {
    let served = 0
    let lost = 0
    for (let i = 0; i < scores.length; i++) {
      if (!serves(scores[i], grid[j])) continue
      served++
      lost += losses[i]
    }
    const own = starts.includes(j) ? DELTA / starts.length : 0
    const level = isPassedOn ? carried + own : Math.max(carried, own)
    const isRejected = binomialCdf(lost, served, targetRisk) <= level
    carried = isRejected ? level : 0
    if (isRejected) best = served / scores.length
  }
  return best
}

for (const n of [150, 400, 1600, 5000]) {
  const sums = new Map()
  for (const [shape, errorAt] of Object.entries(SHAPES)) {
    for (let r = 0; r < repetitions; r++) {
      const rng = createRng(`${shape}/${n}/${r}`)
      const outOfFold = Array.from({ length: 4 * n }, () => 1 - errorAt(rng.next()))
      const ranks = Array.from({ length: n }, () => rng.next())
      const sample = {
        scores: ranks.map(u => 1 - errorAt(u)),
        losses: ranks.map(u => (rng.next() < errorAt(u) ? 1 : 0)),
      }
      for (const [name, levels] of Object.entries(LEVELS)) {
        const grid = thresholdGrid(outOfFold, levels)
        for (const isPassedOn of name === 'shipped' ? [false, true] : [false]) {
          const key = isPassedOn ? `${name}, levels passed on` : name
          const row = sums.get(key) ?? [0, 0, 0, 0]
          sums.set(key, row)
          RISKS.forEach((risk, k) => {
            row[k] += certifiedCoverage(sample, grid, risk, isPassedOn)
          })
        }
      }
    }
  }
  const count = repetitions * Object.keys(SHAPES).length
  console.log(`n = ${n}: mean certified coverage at α = 1, 2, 5, 10 %`)
  for (const [name, row] of sums) {
    console.log(`  ${name.padEnd(26)} ${row.map(sum => (sum / count).toFixed(3)).join('  ')}`)
  }
}
