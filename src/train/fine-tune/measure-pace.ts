/** How long training takes on this machine, by a few steps that are thrown away. */
import type { Clock } from '../../util/index.ts'
import { type FineTuneOptions, fineTune } from './fine-tune.ts'

/** Rows that are worth looking at for it. */
export const PROBE_ROWS = 160

/** Milliseconds that one row of one epoch takes. @throws training-diverged, cancelled, runtime-failed */
export async function measureMsPerRow(job: FineTuneOptions, clock: Clock): Promise<number> {
  let [firstMs, firstRows, msPerRow] = [0, 0, 0]
  await fineTune({
    ...job,
    onStep({ step, rowCount }) {
      const nowMs = clock.monotonic()
      // The first step also allocates.
      if (step === 1) [firstMs, firstRows] = [nowMs, rowCount]
      else msPerRow = (nowMs - firstMs) / (rowCount - firstRows)
    },
  })
  return msPerRow
}
