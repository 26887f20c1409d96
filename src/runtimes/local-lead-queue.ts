/** One at a time, in order, and only so many waiting. Knows nothing of what is done. */
import { UnderstudyError } from '../errors.ts'

export interface Queue {
  /** Tasks that wait or run. */
  readonly length: number
  readonly isFull: boolean
  /**
   * Runs the task when those before it are done; a task whose signal fires while it waits is dropped.
   * @throws cancelled; what the task throws
   */
  run(task: () => Promise<void>, signal: AbortSignal): Promise<void>
}

interface Waiting {
  start(): void
}

/** A queue where at most `maxWaiting` tasks wait beside the one that runs. The caller asks `isFull` first. */
export function createQueue(maxWaiting: number): Queue {
  const waiting: Waiting[] = []
  let isBusy = false

  const turn = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(left())
      if (!isBusy) {
        isBusy = true
        return resolve()
      }
      const onAbort = (): void => {
        waiting.splice(waiting.indexOf(entry), 1)
        reject(left())
      }
      const entry: Waiting = {
        start() {
          signal.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      signal.addEventListener('abort', onAbort, { once: true })
      waiting.push(entry)
    })

  return {
    get length() {
      return waiting.length + (isBusy ? 1 : 0)
    },
    get isFull() {
      return isBusy && waiting.length >= maxWaiting
    },
    async run(task, signal) {
      await turn(signal)
      try {
        await task()
      } finally {
        const next = waiting.shift()
        if (next === undefined) isBusy = false
        else next.start()
      }
    },
  }
}

function left(): UnderstudyError {
  return new UnderstudyError('cancelled', 'The caller left before its turn came.', {
    details: { isUnsent: true },
  })
}
