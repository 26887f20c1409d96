/** Scripted parts for gateway tests: a workspace in memory, a cascade that says what it is told, a whole gateway. */
import { type Cascade, createCascade, type LiveTask } from '../../src/cascade/index.ts'
import { UnderstudyError } from '../../src/errors.ts'
import {
  createGateway,
  DEFAULT_LIMITS,
  type Gateway,
  type GatewayContext,
  type GatewayWorkspace,
} from '../../src/gateway/index.ts'
import type { LedgerRecord, RecordPosition, TracePayload } from '../../src/ledger/index.ts'
import type { SpecialistAnswer } from '../../src/models/index.ts'
import type { Store } from '../../src/store/index.ts'
import { declaredTask } from '../../src/tasks/index.ts'
import { systemClock } from '../../src/util/index.ts'

export interface MemoryWorkspace extends GatewayWorkspace {
  readonly traces: TracePayload[]
  /** While true, appending fails as on a full disk. */
  isFull: boolean
}

/** A workspace that keeps traces in an array; its store is empty. */
export function memoryWorkspace(): MemoryWorkspace {
  const records: LedgerRecord[] = []
  const traces: TracePayload[] = []
  const store: Pick<
    Store,
    'trace' | 'tasks' | 'task' | 'specialist' | 'specialists' | 'certificate' | 'certificates'
  > = {
    trace: async () => null,
    tasks: async () => [],
    task: async () => null,
    specialist: async () => null,
    specialists: async () => [],
    certificate: async () => null,
    certificates: async () => [],
  }
  return {
    traces,
    isFull: false,
    node: 'test',
    store: store as Store,
    async append({ kind, payload }) {
      if (this.isFull) {
        throw new UnderstudyError('ledger-unwritable', 'The disk is full.', { help: 'Free some.' })
      }
      // As in the ledger: what cannot be written as JSON must fail here, not later.
      const copy = JSON.parse(JSON.stringify(payload)) as object
      const position: RecordPosition = {
        writer: 'w',
        seq: records.length,
        segment: 0,
        offset: records.length,
        hash: '',
      }
      records.push({ position, kind, time: '', payload: copy })
      if (kind === 'trace') traces.push(copy as TracePayload)
      return position
    },
    async read({ offset }) {
      return records[offset] as LedgerRecord
    },
    health: () => ({
      ledger: 'ok',
      store: 'ok',
      unrecordedCount: 0,
      unprojectedCount: 0,
      queuedBytes: 0,
      lagCount: 0,
      error: null,
    }),
  }
}

export interface ScriptedTask {
  /** The caller names it in `x-understudy-task`. */
  readonly name: string
  readonly label: string
  readonly score: number
  readonly threshold?: number | null
  /** Thrown instead of an answer. */
  readonly failure?: Error
}

/** A live task whose specialist always says the same. */
export function scriptedTask({
  name,
  label,
  score,
  threshold = 0.5,
  failure,
}: ScriptedTask): LiveTask {
  const answer = async (): Promise<SpecialistAnswer<unknown>> => {
    if (failure !== undefined) throw failure
    return { output: label, score, evidence: {} }
  }
  return {
    id: declaredTask(name).id,
    name,
    specialist: {
      tier: 'reflex',
      hash: 'a'.repeat(64),
      answer,
      answerBatch: inputs => Promise.all(inputs.map(answer)),
      close: async () => {},
    },
    render: output => ({ kind: 'text', text: String(output) }),
    outputKey: output => String(output),
    certificate: 'cert_1',
    threshold,
    usage: { promptBase: 5, promptPerCharacter: 0, completionByOutput: {}, completionDefault: 2 },
    certifiedLeads: [],
    reportedModel: 'gpt-4o-mini-2024-07-18',
  }
}

export interface TestGateway {
  readonly gateway: Gateway
  readonly workspace: MemoryWorkspace
  readonly cascade: Cascade
  readonly logged: string[]
}

/** A gateway over memory; anything of its context can be replaced. */
export function testGateway(
  changed: Partial<GatewayContext> = {},
  live: readonly LiveTask[] = [],
): TestGateway {
  const workspace = memoryWorkspace()
  const cascade = createCascade({ configHash: 'cfg', bindings: [], clock: systemClock })
  cascade.setLive(live)
  const logged: string[] = []
  const gateway = createGateway({
    workspace,
    cascade,
    lead: null,
    leadHasKey: false,
    keys: [],
    jobs: {},
    clock: systemClock,
    configHash: 'cfg',
    limits: DEFAULT_LIMITS,
    allowedHosts: [],
    log: text => logged.push(text),
    ...changed,
  })
  return { gateway, workspace, cascade, logged }
}

/** A chat request as `fetch` takes it. */
export function chatInit(
  body: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({
      model: 'gpt-4o-mini',
      messages: [
        { role: 'system', content: 'Name the intent.' },
        { role: 'user', content: 'I lost my card' },
      ],
      ...body,
    }),
  }
}
