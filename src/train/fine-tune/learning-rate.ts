/** How the learning rate of a run rises and falls. Knows no weights. */
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
} from '../../engine/index.ts'
import type { Recipe } from './recipe.ts'

/** The first step already moves: a warm-up counts from 1. */
export function scheduleOf({ schedule, warmupShare }: Recipe, stepCount: number): Schedule {
  const warmupCount = Math.round(warmupShare * stepCount)
  const options = { stepCount: stepCount + 1, warmupCount }
  const shape = { linear: linearSchedule, cosine: cosineSchedule, constant: constantSchedule }
  const rate = shape[schedule](options)
  return step => rate(step + 1)
}
