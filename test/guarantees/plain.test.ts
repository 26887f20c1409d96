/** The promise on the real path of `learn`, with the reflex: 1,000 repetitions, each with a fit of its own, against a known truth. */
import { expect, it } from 'vitest'
import { makePopulation } from './population.ts'
import { isWithinDelta, runScenario } from './worlds.ts'

it('breaks both promises at every target risk in at most δ of 1,000 repetitions, and makes claims', async () => {
  const tallies = await runScenario({
    name: 'plain',
    population: seed => makePopulation(seed, { size: 3000 }),
    trainingFamilies: 150,
    certificationFamilies: 150,
    targetRisks: [0.05, 0.1, 0.15],
    worlds: 1000,
    looksPerWorld: 1,
  })
  for (const tally of tallies) {
    expect(tally.repetitions).toBe(1000)
    expect(tally).toSatisfy(isWithinDelta)
  }
  const claims = (promise: string, risk: number) =>
    tallies.find(tally => tally.promise === promise && tally.targetRisk === risk)?.claims
  expect(claims('selective', 0.1)).toBeGreaterThan(500)
  expect(claims('marginal', 0.1)).toBeGreaterThan(900)
}, 900_000)
