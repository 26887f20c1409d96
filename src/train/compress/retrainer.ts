/** Hands out the time for training among variants, and asks the teacher once. Knows no loss and no choice. */
import { hasCode } from '../../errors.ts'
import { type Clock, systemClock } from '../../util/index.ts'
import type { BuildContext, Retrainer } from './build-variant.ts'
import type { CompressibleModel, CompressOptions, CompressVariant } from './compress-types.ts'
import { retrain } from './retrain.ts'
import { openRetrainState } from './retrain-state.ts'
import { askTeacher } from './teacher.ts'

/** Each variant gets its part of what is left, by the layers that it trains. */
export function openRetrainer(options: CompressOptions, context: BuildContext): Retrainer {
  const { retraining: training, model, seed, onProgress } = options
  const clock: Clock = options.clock ?? systemClock
  let leftMs = training?.budgetMs ?? 0
  let waiting = options.variants.filter(({ lesson }) => lesson !== undefined)
  let teacher: Promise<Float32Array> | null = null

  return async (smaller, variant) => {
    const { lesson, name } = variant
    const startMs = clock.monotonic()
    const budgetMs = (leftMs * layersOf(variant, model)) / layerSum(waiting, model)
    waiting = waiting.filter(one => one !== variant)
    if (training === undefined || lesson === undefined || budgetMs <= 0) return null
    const isTaught = lesson.softShare > 0
    if (isTaught) {
      onProgress?.({ stage: 'teacher', done: 0, total: 0 })
      teacher ??= askTeacher(model, context)
    }
    const state = training.stateDir === null ? null : await openRetrainState(training.stateDir)
    try {
      return await retrain(smaller, {
        ...context,
        name,
        lesson,
        teacher: isTaught ? await teacher : null,
        training: training.runtime,
        budgetMs,
        seed,
        clock,
        state,
        onProgress,
      })
    } catch (error) {
      // One variant less; the others are as good as they were.
      if (hasCode(error, 'training-diverged')) return null
      throw error
    } finally {
      leftMs -= clock.monotonic() - startMs
    }
  }
}

function layersOf({ keepLayers }: CompressVariant, { config }: CompressibleModel): number {
  return keepLayers?.length ?? config.layerCount
}

function layerSum(variants: readonly CompressVariant[], model: CompressibleModel): number {
  return variants.reduce((sum, variant) => sum + layersOf(variant, model), 0)
}
