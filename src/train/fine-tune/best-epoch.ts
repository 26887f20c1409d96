/** Keeps the weights of the best epoch beside those that train on. Knows no data and no loss. */
import type { Trainer, TrainerState } from '../../engine/index.ts'

const PREFIX = 'best/'

export interface BestEpoch {
  /** The epoch, from 1, with the smallest loss; the first of equals; 0 before any. */
  epochOf(losses: readonly number[]): number
  /** Copies the weights of this moment. */
  keep(): void
  /** Copies, for a checkpoint; nothing before `keep`. */
  buffers(): TrainerState['buffers']
  /** Takes the copies over from a checkpoint's buffers. */
  load(buffers: TrainerState['buffers']): void
  /** Makes the trainer's weights those that were kept, where there are any. */
  restore(): void
}

/** Moments are not kept: the best epoch is where training ends, not where it goes on. */
export function openBest(trainer: Trainer): BestEpoch {
  let kept: ReadonlyMap<string, Float32Array> = new Map()
  const weights = () => Object.entries(trainer.state().buffers).filter(([name]) => !isMoment(name))
  return {
    epochOf: losses =>
      losses.reduce((best, loss, i) => (loss < (losses[best - 1] ?? Infinity) ? i + 1 : best), 0),
    keep() {
      kept = new Map(weights().map(([name, values]) => [name, values.slice()]))
    },
    buffers: () => Object.fromEntries([...kept].map(([name, values]) => [PREFIX + name, values])),
    load(buffers) {
      kept = new Map(
        Object.entries(buffers)
          .filter(([name]) => name.startsWith(PREFIX))
          .map(([name, values]) => [name.slice(PREFIX.length), values]),
      )
    },
    restore() {
      for (const [name, values] of weights()) {
        const best = kept.get(name)
        if (best !== undefined) values.set(best)
      }
    },
  }
}

/** `weights` and tables by their own names are weights; what the optimiser keeps beside them is not. */
function isMoment(name: string): boolean {
  return name !== 'weights' && !name.endsWith('.weight')
}
