/** Keeps the weights of the best epoch beside those that train on. Knows no data and no loss. */
import type { Trainer, TrainerState } from '../../engine/index.ts'

const PREFIX = 'best/'

/** What a checkpoint says of it beside the weights; plain JSON. */
export interface BestProgress {
  /** Epoch, from 1, whose weights are kept; 0 before any. */
  readonly epoch: number
  /** Loss of each row held back after the epoch of the least mean. */
  readonly least: readonly number[]
}

export interface BestEpoch {
  /**
   * Looks at the losses of the rows held back after an epoch, from 1, and keeps its weights unless they are worse than the least so far by more
   * than a standard error of the difference, row by row: what is within chance goes to the later epoch, whose learning rate is lower. Losses whose
   * mean is no number count as worse.
   */
  look(epoch: number, losses: Float64Array): void
  /** Also the epoch kept. */
  progress(): BestProgress
  /** Copies, for a checkpoint; nothing before an epoch is kept. */
  buffers(): TrainerState['buffers']
  /** Takes both over from a checkpoint. */
  load(buffers: TrainerState['buffers'], progress: BestProgress): void
  /** Makes the trainer's weights those that were kept, where there are any. */
  restore(): void
}

/** Moments are not kept: the best epoch is where training ends, not where it goes on. */
export function openBest(trainer: Trainer): BestEpoch {
  let kept: ReadonlyMap<string, Float32Array> = new Map()
  let state: BestProgress = { epoch: 0, least: [] }
  const weights = () => Object.entries(trainer.state().buffers).filter(([name]) => !isMoment(name))
  return {
    look(epoch, losses) {
      if (!Number.isFinite(meanOf(losses))) return
      const { least } = state
      const isFirst = least.length === 0
      if (isFirst || !isWorse(losses, least)) {
        kept = new Map(weights().map(([name, values]) => [name, values.slice()]))
        state = { epoch, least }
      }
      if (isFirst || meanOf(losses) < meanOf(least)) state = { ...state, least: [...losses] }
    },
    progress: () => state,
    buffers: () => Object.fromEntries([...kept].map(([name, values]) => [PREFIX + name, values])),
    load(buffers, progress) {
      state = progress
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

/** Paired: rows are hard or easy in both. */
function isWorse(losses: Float64Array, least: readonly number[]): boolean {
  const differences = losses.map((loss, row) => loss - (least[row] as number))
  const mean = meanOf(differences)
  const variance = meanOf(differences.map(one => (one - mean) ** 2))
  return mean > Math.sqrt(variance / differences.length)
}

function meanOf(values: Float64Array | readonly number[]): number {
  let sum = 0
  for (const value of values) sum += value
  return sum / values.length
}

/** `weights` and tables by their own names are weights; what the optimiser keeps beside them is not. */
function isMoment(name: string): boolean {
  return name !== 'weights' && !name.endsWith('.weight')
}
