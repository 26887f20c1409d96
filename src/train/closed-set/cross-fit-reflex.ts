/** The reflex, cross-fitted. Knows no other part. */
import {
  type HashedFeatures,
  hashFeatures,
  type Opinion,
  type Reflex,
  reflexOpinion,
} from '../../models/index.ts'
import {
  allRows,
  type ClassifierData,
  type CrossFit,
  type CrossFitContext,
  otherRows,
  rowsOfFold,
} from './cross-fit.ts'
import { fitReflex, reflexBits } from './fit-reflex.ts'

const EPOCHS = { most: 8, fewest: 2 }
/** Multiply-adds of fitting per millisecond of budget: measured at 400,000 on one busy core, see docs/log.md. */
const STEPS_PER_MS = 150_000

/** @throws cancelled */
export async function crossFitReflex(
  { inputs, labels, classCount }: ClassifierData,
  { split, pace, rng, budgetMs, onProgress }: CrossFitContext,
): Promise<CrossFit<Reflex>> {
  const bits = reflexBits(classCount)
  const features: HashedFeatures[] = []
  for (const input of inputs) {
    features.push(hashFeatures(input, bits))
    await pace.breathe()
  }
  const total = split.foldCount + 1
  const epochCount = affordableEpochs(features, { classCount, total, budgetMs })
  let doneCount = 0
  const fitOne = async (rows: Int32Array, name: string): Promise<Reflex> => {
    const limitMs = pace.leftMs() * (1 - 1 / (total - doneCount + 1))
    const breathe = async (): Promise<boolean> => {
      await pace.breathe()
      return pace.leftMs() < limitMs
    }
    const model = await fitReflex(
      { features, labels },
      { classCount, rng: rng.fork(`reflex ${name}`), rows, epochCount, breathe },
    )
    onProgress('reflex', ++doneCount, total)
    return model
  }
  const opinions = new Array<[Opinion]>(inputs.length)
  for (let fold = 0; fold < split.foldCount; fold++) {
    const model = await fitOne(otherRows(split, fold), `fold ${fold}`)
    for (const row of rowsOfFold(split, fold)) {
      opinions[row] = [reflexOpinion(model, features[row] as HashedFeatures)]
      await pace.breathe()
    }
  }
  return { model: await fitOne(allRows(inputs.length), 'all'), opinions }
}

/** Decided beforehand from counts, not by the clock, so that a fitting that has time is deterministic. */
function affordableEpochs(
  features: readonly HashedFeatures[],
  { classCount, total, budgetMs }: { classCount: number; total: number; budgetMs: number },
): number {
  const cells = features.reduce((sum, one) => sum + one.buckets.length, 0)
  const stepsPerEpoch = 2 * total * cells * classCount
  const affordable = Math.floor((budgetMs * STEPS_PER_MS) / Math.max(1, stepsPerEpoch))
  return Math.max(EPOCHS.fewest, Math.min(EPOCHS.most, affordable))
}
