/** How many requests are answered at once: the rest waits in line for a while, or is turned away. Knows no requests. */
import { UnderstudyError } from '../errors.ts'

export interface GateLimits {
  readonly maxConcurrent: number
  readonly maxQueued: number
  readonly queueTimeoutMs: number
}

export interface Gate {
  /**
   * Waits for a turn; call the returned function once when done.
   * @throws overloaded; cancelled when the caller left the line
   */
  enter(signal: AbortSignal): Promise<() => void>
  readonly runningCount: number
  readonly queuedCount: number
}

interface Waiting {
  readonly admit: () => void
}

export function createGate({ maxConcurrent, maxQueued, queueTimeoutMs }: GateLimits): Gate {
  let runningCount = 0
  /** In order of arrival; a set, so that who leaves is found at once. */
  const line = new Set<Waiting>()

  const leave = (): void => {
    runningCount--
    const [next] = line
    if (next === undefined || runningCount >= maxConcurrent) return
    line.delete(next)
    next.admit()
  }
  const take = (): (() => void) => {
    runningCount++
    let isDone = false
    return () => {
      if (isDone) return
      isDone = true
      leave()
    }
  }
  const wait = (signal: AbortSignal): Promise<() => void> =>
    new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', giveUp)
        line.delete(waiting)
      }
      const waiting: Waiting = {
        admit() {
          settle()
          resolve(take())
        },
      }
      const giveUp = (): void => {
        settle()
        reject(new UnderstudyError('cancelled', 'The caller left while it waited for its turn.'))
      }
      const timer = setTimeout(() => {
        settle()
        reject(overloaded(`No turn came within ${queueTimeoutMs} ms.`))
      }, queueTimeoutMs)
      signal.addEventListener('abort', giveUp, { once: true })
      line.add(waiting)
    })

  return {
    async enter(signal) {
      if (runningCount < maxConcurrent) return take()
      if (line.size >= maxQueued) {
        throw overloaded(`${runningCount} requests are under way and ${line.size} wait.`)
      }
      return wait(signal)
    },
    get runningCount() {
      return runningCount
    },
    get queuedCount() {
      return line.size
    },
  }
}

function overloaded(why: string): UnderstudyError {
  return new UnderstudyError('overloaded', `The gateway is overloaded: ${why}`, {
    help: 'Try again in a moment.',
    details: { retryAfterSeconds: 1 },
  })
}
