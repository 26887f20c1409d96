/** Keeps long fitting within its time, cancellable, and off the event loop's back. Knows nothing of what is fitted. */
import { UnderstudyError } from '../errors.ts'
import { type Clock, systemClock } from '../util/index.ts'

export interface Pace {
  /** Milliseconds left of the budget; negative once it is used up. */
  leftMs(): number
  /** Gives the event loop a turn every 20 ms. @throws cancelled */
  breathe(): Promise<void>
}

const TURN_MS = 20

/** A pace that ends `budgetMs` from now. */
export function startPace(budgetMs: number, signal: AbortSignal, clock: Clock = systemClock): Pace {
  const endMs = clock.monotonic() + budgetMs
  let lastTurnMs = clock.monotonic()
  return {
    leftMs: () => endMs - clock.monotonic(),
    async breathe() {
      if (signal.aborted) throw new UnderstudyError('cancelled', 'Fitting was cancelled.')
      if (clock.monotonic() - lastTurnMs < TURN_MS) return
      await new Promise(resolve => setImmediate(resolve))
      lastTurnMs = clock.monotonic()
      if (signal.aborted) throw new UnderstudyError('cancelled', 'Fitting was cancelled.')
    },
  }
}
