/** Routes one parsed request: finds its task, asks the live specialist, decides. Knows no HTTP and no store. */
import type { DeclaredTask } from '../config/index.ts'
import { hasCode, isUnderstudyError } from '../errors.ts'
import type { Decision, TierScore } from '../ledger/index.ts'
import type { Specialist, SpecialistAnswer } from '../models/index.ts'
import { candidateTasks, dress, slotOf, type TaskReference } from '../tasks/index.ts'
import type { Clock } from '../util/index.ts'
import { type Answer, type ChatRequest, limitBrokenBy, type Usage } from '../wire/index.ts'
import { decide, type Mode, type Reason } from './decide.ts'
import { estimateUsage, type UsageModel } from './usage.ts'

/** A task whose specialist is on stage. Outputs are opaque here: `render` and `usage` know them. */
export interface LiveTask {
  readonly id: string
  readonly name: string
  readonly specialist: Specialist<unknown>
  readonly render: (output: unknown) => Answer
  /** A string that stands for an output in the usage model and in the record. */
  readonly outputKey: (output: unknown) => string
  readonly certificate: string | null
  readonly threshold: number | null
  /** Names under which the lead answered the examples of the certificate; empty where people labelled them. */
  readonly certifiedLeads: readonly string[]
  readonly usage: UsageModel
  /** Model name that the lead reports in its answers; null where there was no lead (declared labels): the caller's. */
  readonly reportedModel: string | null
}

export interface RouteInfo {
  readonly app: string | null
  readonly declaredTask: string | null
  readonly mode: Mode
}

export type Verdict =
  | {
      readonly serve: true
      readonly task: LiveTask
      readonly answer: Answer
      readonly usage: Usage
      readonly confidence: number
      /** Null where the answer carries no promise (asked for in spite of a low confidence). */
      readonly certificate: string | null
      readonly decision: Decision
    }
  | { readonly serve: false; readonly decision: Decision }

export interface Cascade {
  route(request: ChatRequest, info: RouteInfo, signal: AbortSignal): Promise<Verdict>
  /** Puts tasks on stage, in place of all that were; the specialists that left are closed by the caller. */
  setLive(tasks: readonly LiveTask[]): void
  live(): readonly LiveTask[]
  /** What decisions from now on name and are bound by. */
  configure(config: CascadeConfig): void
}

export interface CascadeConfig {
  readonly configHash: string
  readonly bindings: readonly DeclaredTask[]
}

interface Match {
  readonly identity: TaskReference
  readonly task: LiveTask
}

export function createCascade({
  clock,
  ...config
}: CascadeConfig & { readonly clock: Clock }): Cascade {
  let { configHash, bindings }: CascadeConfig = config
  let liveTasks: ReadonlyMap<string, LiveTask> = new Map()

  const outline = (task: TaskReference | null, mode: Mode) => ({
    task: task?.id ?? null,
    declaredTask: task?.declaredName ?? null,
    mode,
    configHash,
    draws: [],
    leadProbability: 1,
    specialistAnswer: null,
    reasonDetail: null,
  })

  function toLead(
    task: TaskReference | null,
    mode: Mode,
    reason: Reason,
    reasonDetail: string | null = null,
    asked: LiveTask | null = null,
  ): Verdict {
    const decision: Decision = {
      ...outline(task, mode),
      servedBy: 'lead',
      reason,
      reasonDetail,
      specialist: asked?.specialist.hash ?? null,
      certificate: asked?.certificate ?? null,
      tiers: [],
    }
    return { serve: false, decision }
  }

  async function ask(
    { identity, task }: Match,
    request: ChatRequest,
    input: string,
    mode: Mode,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const startMs = clock.monotonic()
    let proposal: SpecialistAnswer<unknown>
    try {
      proposal = await task.specialist.answer(input, signal)
    } catch (error) {
      if (hasCode(error, 'cancelled')) throw error
      const code = isUnderstudyError(error) ? error.code : 'bug'
      return toLead(identity, mode, 'specialist-failed', code, task)
    }
    const tier: TierScore = {
      tier: task.specialist.tier,
      score: proposal.score,
      confidence: proposal.score,
      threshold: task.threshold,
      latencyMs: clock.monotonic() - startMs,
    }
    const isAbstention = proposal.output === null
    const choice = decide({ score: proposal.score, isAbstention }, task.threshold, mode)
    const answer = isAbstention ? null : dress(task.render(proposal.output), request.shape)
    const key = isAbstention ? '' : task.outputKey(proposal.output)
    const usage = estimateUsage(task.usage, input.length, key)
    const brokenLimit =
      answer === null ? null : limitBrokenBy(request, answer, usage.completionTokens)
    const isServed = choice.serve && answer !== null && brokenLimit === null
    const isPromised = choice.reason === 'confidence-sufficient'
    const decision: Decision = {
      ...outline(identity, mode),
      servedBy: isServed ? task.specialist.tier : 'lead',
      reason: isServed || !choice.serve ? choice.reason : misfit(brokenLimit),
      reasonDetail: isServed ? null : brokenLimit,
      specialist: task.specialist.hash,
      certificate: task.certificate,
      tiers: [tier],
      leadProbability: isServed ? 0 : 1,
      specialistAnswer: isAbstention ? null : key,
    }
    if (!isServed) return { serve: false, decision }
    return {
      serve: true,
      task,
      answer,
      usage,
      confidence: proposal.score,
      certificate: isPromised ? task.certificate : null,
      decision,
    }
  }

  const misfit = (brokenLimit: string | null): Reason =>
    brokenLimit === null ? 'shape-mismatch' : 'limit-broken'

  function firstLive(identities: readonly TaskReference[]): Match | null {
    for (const identity of identities) {
      const task = liveTasks.get(identity.id)
      if (task !== undefined) return { identity, task }
    }
    return null
  }

  return {
    async route(request, { app, declaredTask, mode }, signal) {
      const identities = candidateTasks(request, { app, declared: declaredTask }, bindings)
      const match = firstLive(identities)
      const identity = match?.identity ?? identities[0] ?? null
      const [escalation] = request.escalations
      const input = slotOf(request)
      if (mode === 'lead') return toLead(identity, mode, 'lead-asked')
      if (escalation !== undefined) {
        return toLead(identity, mode, escalation.reason, escalation.parameter ?? null)
      }
      if (input === null) return toLead(identity, mode, 'no-task')
      if (match === null) return toLead(identity, mode, 'no-specialist')
      return ask(match, request, input, mode, signal)
    },
    setLive(tasks) {
      liveTasks = new Map(tasks.map(task => [task.id, task]))
    },
    live: () => [...liveTasks.values()],
    configure(next) {
      ;({ configHash, bindings } = next)
    },
  }
}
