/** Writes traces, and remembers where the newest lie. A request is served whether or not its trace can be written. */
import { isUnderstudyError } from '../errors.ts'
import type { Decision, RecordPosition, TracePayload } from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import type { GatewayWorkspace } from './context.ts'

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
}

export interface Recorder {
  /** Resolves when the record is with the kernel: true; or could not be written: false. Never throws. */
  record(exchange: Exchange): Promise<boolean>
  /** Where a trace of this process lies, while it is among the newest. */
  positionOf(id: string): RecordPosition | null
  /** Answers given without a record since the start. */
  readonly unrecordedCount: number
  /** Waits for records still being written. */
  settle(): Promise<void>
}

const REMEMBERED_COUNT = 10_000

export function createRecorder(
  workspace: Pick<GatewayWorkspace, 'append'>,
  log: (text: string) => void,
): Recorder {
  const positions = new Map<string, RecordPosition>()
  const pending = new Set<Promise<boolean>>()
  let unrecordedCount = 0

  const write = async (exchange: Exchange): Promise<boolean> => {
    try {
      const position = await workspace.append({ kind: 'trace', payload: traceOf(exchange) })
      positions.set(exchange.id, position)
      if (positions.size > REMEMBERED_COUNT) {
        positions.delete(positions.keys().next().value as string)
      }
      return true
    } catch (error) {
      if (unrecordedCount === 0) {
        log(`An answer could not be recorded: ${isUnderstudyError(error) ? error.message : error}`)
      }
      unrecordedCount++
      return false
    }
  }

  return {
    record(exchange) {
      const written = write(exchange)
      pending.add(written)
      void written.finally(() => pending.delete(written))
      return written
    },
    positionOf: id => positions.get(id) ?? null,
    get unrecordedCount() {
      return unrecordedCount
    },
    async settle() {
      while (pending.size > 0) await Promise.all(pending)
    },
  }
}

function traceOf({ startedMs, request, response, ...rest }: Exchange): TracePayload {
  return {
    ...rest,
    identity: rest.id,
    // Decision ids never return with other content, so the order of keys does not matter here.
    contentHash: sha256(JSON.stringify([request, response])),
    source: 'gateway',
    time: new Date(startedMs).toISOString(),
    request,
    response,
  }
}
