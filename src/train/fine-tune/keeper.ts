/** Writes down how far a fit is, so that one that is stopped or killed goes on from there. Knows no recipe and no rows. */
import type { Trainer } from '../../engine/index.ts'
import { type Clock, systemClock } from '../../util/index.ts'
import type { BestEpoch, BestProgress } from './best-epoch.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'

export interface CheckpointOptions {
  readonly path: string
  readonly runId: string
  readonly everySteps?: number
  /** Milliseconds of training between two checkpoints. */
  readonly everyMs?: number
}

export interface KeeperOptions {
  /** Without one nothing is kept. */
  readonly checkpoint?: CheckpointOptions
  readonly clock?: Clock
  readonly best: BestEpoch
  readonly epochCount: number
}

export interface Keeper {
  /** Of each epoch; both are added to by the fit and kept. */
  readonly lossSums: number[]
  readonly heldBackLosses: number[]
  /** Writes a checkpoint where one is due. @throws the file system's own error */
  afterStep(): Promise<void>
  /** A run that is cancelled in `work` is kept first. */
  orKeep<Result>(work: () => Promise<Result>): Promise<Result>
}

/** Times what the last checkpoint took to write: a large state must not take the time that it is to save. */
const WRITES_APART = 10
/** Takes up where an earlier run stopped, and writes down how far this one is. */
export async function openKeeper(
  trainer: Pick<Trainer, 'step' | 'state' | 'restore'>,
  { checkpoint, clock = systemClock, best, epochCount }: KeeperOptions,
): Promise<Keeper> {
  const resumed = checkpoint && (await readCheckpoint(checkpoint.path, checkpoint.runId))
  const kept = resumed?.progress as
    | { lossSums?: number[]; heldBackLosses?: (number | null)[]; best?: BestProgress }
    | undefined
  if (resumed) {
    trainer.restore(resumed.state)
    if (kept?.best) best.load(resumed.state.buffers, kept.best)
  }
  const lossSums = kept?.lossSums ?? Array.from({ length: epochCount }, () => 0)
  // JSON has no NaN.
  const heldBackLosses = (kept?.heldBackLosses ?? []).map(loss => loss ?? Number.NaN)
  let writtenMs = clock.monotonic()
  let tookMs = 0
  let writtenStep = trainer.step
  const write = async (): Promise<void> => {
    if (checkpoint === undefined || trainer.step === writtenStep) return
    const startMs = clock.monotonic()
    const { step, buffers } = trainer.state()
    const progress: Checkpoint['progress'] = { lossSums, heldBackLosses, best: best.progress() }
    await writeCheckpoint(checkpoint.path, {
      runId: checkpoint.runId,
      state: { step, buffers: { ...buffers, ...best.buffers() } },
      progress,
    })
    writtenMs = clock.monotonic()
    tookMs = writtenMs - startMs
    writtenStep = step
  }
  return {
    lossSums,
    heldBackLosses,
    async afterStep(): Promise<void> {
      const { everySteps, everyMs } = checkpoint ?? {}
      const isDue =
        (everySteps !== undefined && trainer.step % everySteps === 0) ||
        (everyMs !== undefined &&
          clock.monotonic() - writtenMs >= Math.max(everyMs, WRITES_APART * tookMs))
      if (isDue) await write()
    },
    async orKeep<Result>(work: () => Promise<Result>): Promise<Result> {
      try {
        return await work()
      } catch (error) {
        await write()
        throw error
      }
    },
  }
}
