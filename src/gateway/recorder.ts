/** Writes traces, and remembers where the newest lie. A request is served whether or not its trace can be written. */
import { isUnderstudyError } from '../errors.ts'
import type { Charge, Decision, RecordPosition, RouteTrail, TracePayload } from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import { type Clock, settledWithin } from '../util/index.ts'
import type { GatewayWorkspace } from './context.ts'
import type { RequestWatch } from './observer.ts'

/** What the gateway knows of one exchange when it ends. */
export interface Exchange {
  readonly id: string
  /** Milliseconds since the Unix epoch, when the request came. */
  readonly startedMs: number
  readonly app: string | null
  /** Path of the wire. */
  readonly endpoint: string
  readonly request: unknown
  readonly response: unknown
  readonly status: number
  readonly latencyMs: number
  readonly isStream: boolean
  readonly isComplete: boolean
  readonly declaredTask: string | null
  readonly decision: Decision
  /** Absent where there is one lead, or it was not asked. */
  readonly trail?: RouteTrail
  /** Absent without a key. */
  readonly charge?: Charge
}

export interface Recorder {
  /**
   * Resolves when the record has what the settings promise (the kernel, or the disk): true; or could not be written, or
   * not in time: false. Never throws.
   */
  record(exchange: Exchange, watch: RequestWatch): Promise<boolean>
  /** Where a trace of this process lies, while it is among the newest. */
  positionOf(id: string): RecordPosition | null
  /** Answers given without a decision id since the start. */
  readonly unrecordedCount: number
  /** True while records take longer than answers wait for them. */
  readonly isLate: boolean
  /** Waits for records still being written. */
  settle(): Promise<void>
}

export interface RecorderOptions {
  readonly clock: Clock
  readonly log: (text: string) => void
  /** Longest that an answer waits for its record. */
  readonly timeoutMs: number
}

const REMEMBERED_COUNT = 10_000

type Outcome = 'written' | 'refused' | 'late'

export function createRecorder(
  workspace: Pick<GatewayWorkspace, 'append'>,
  { clock, log, timeoutMs }: RecorderOptions,
): Recorder {
  const positions = new Map<string, RecordPosition>()
  /** Being written, the oldest first, with the time when it was handed over. */
  const pending = new Map<Promise<Outcome>, number>()
  let unrecordedCount = 0
  let isFailing = false

  const write = async (exchange: Exchange, watch: RequestWatch): Promise<Outcome> => {
    try {
      const payload = traceOf(exchange, watch.requestId)
      const position = await workspace.append({ kind: 'trace', payload })
      positions.set(exchange.id, position)
      if (positions.size > REMEMBERED_COUNT) {
        positions.delete(positions.keys().next().value as string)
      }
      if (isFailing) log('Answers are recorded again.')
      isFailing = false
      return 'written'
    } catch (error) {
      complain(isUnderstudyError(error) ? error.message : String(error))
      return 'refused'
    }
  }
  const complain = (why: string): void => {
    if (!isFailing) log(`An answer could not be recorded: ${why}`)
    isFailing = true
  }
  const isLate = (): boolean => {
    const [oldest] = pending.values()
    return oldest !== undefined && clock.monotonic() - oldest > timeoutMs
  }

  return {
    async record(exchange, watch) {
      const wasLate = isLate()
      const written = write(exchange, watch)
      pending.set(written, clock.monotonic())
      void written.finally(() => pending.delete(written))
      // Who comes while the disk hangs does not wait as well: the record follows, without a promise.
      const isInTime = !wasLate && (await settledWithin(written, timeoutMs))
      const outcome = isInTime ? await written : 'late'
      // The timer may be a moment early by the clock. Only who waited tells: others may be written before they are late.
      if (outcome === 'late' && !wasLate && pending.has(written)) {
        pending.set(written, Number.NEGATIVE_INFINITY)
      }
      if (outcome === 'late') complain(`writing takes longer than ${timeoutMs} ms.`)
      const isRecorded = outcome === 'written'
      if (!isRecorded) unrecordedCount++
      watch.recorded(exchange, isRecorded)
      return isRecorded
    },
    positionOf: id => positions.get(id) ?? null,
    get unrecordedCount() {
      return unrecordedCount
    },
    get isLate() {
      return isLate()
    },
    async settle() {
      while (pending.size > 0) await Promise.all(pending.keys())
    },
  }
}

/** Field by field, without a rest and a spread of them: on the path of every answer. */
function traceOf(exchange: Exchange, requestId: string): TracePayload {
  const { id, trail, charge } = exchange
  return {
    id,
    identity: id,
    // Decision ids never return with other content, and the record itself commits to what it says: bodies are not hashed twice.
    contentHash: sha256(id),
    source: 'gateway',
    time: new Date(exchange.startedMs).toISOString(),
    app: exchange.app,
    endpoint: exchange.endpoint,
    request: exchange.request,
    response: exchange.response,
    status: exchange.status,
    latencyMs: exchange.latencyMs,
    isStream: exchange.isStream,
    isComplete: exchange.isComplete,
    declaredTask: exchange.declaredTask,
    decision: exchange.decision,
    requestId,
    ...(trail === undefined ? {} : { trail }),
    ...(charge === undefined ? {} : { charge }),
  }
}
