/** Keeps what learning made: artefacts as blobs, everything else as records of the ledger. */
import { fitUsage, type UsageModel } from '../cascade/index.ts'
import type { CertificationOutcome } from '../evals/index.ts'
import type {
  CertificationPayload,
  SpecialistPayload,
  SplitPayload,
  TransitionPayload,
} from '../ledger/index.ts'
import { nextState } from '../rollout/index.ts'
import { answerKey, type Split } from '../tasks/index.ts'
import type { LedgerEntry, Workspace } from '../workspace/index.ts'
import type { TaskExamples } from './examples.ts'
import type { TaskReport } from './report.ts'
import type { StoredOutcome, StoredSpecialist } from './stored.ts'
import type { TaskReportParts } from './task-report.ts'

/** The sides of new inputs, kept for ever: also where nothing came of the run, since it has read training labels. */
export async function keepSplit(workspace: Workspace, task: string, split: Split): Promise<void> {
  if (split.added.length === 0 && split.droppedGroups.length === 0) return
  await workspace.appendAndProject([splitEntry(task, split)])
}

function splitEntry(task: string, { added, droppedGroups }: Split): LedgerEntry {
  return {
    kind: 'split',
    payload: { task, assignments: added, droppedGroups } satisfies SplitPayload,
  }
}

/** Blobs first, then one batch of records: a crash between leaves bytes that nobody names. */
export async function keepLearned(
  workspace: Workspace,
  { count, read, outcome, certificate }: Omit<TaskReportParts, 'latenciesMs' | 'prices'>,
  { basis, report }: { basis: string; report: TaskReport },
): Promise<void> {
  const { candidate, split, set, schema, table } = outcome
  for (const blob of candidate.blobs.values()) await workspace.blobs.put(blob)
  const stored: StoredSpecialist = {
    kind: 'closed-set',
    manifest: candidate.manifest,
    schema,
    usage: usageModel(read),
    reportedModel: certificate.reference === 'people' ? null : reportedModelOf(read),
  }
  const kept: StoredOutcome = {
    certificate,
    table,
    basis,
    reportBlob: await workspace.blobs.put(new TextEncoder().encode(JSON.stringify(report))),
  }
  await workspace.appendAndProject([
    splitEntry(count.task.id, split),
    {
      kind: 'specialist',
      payload: {
        hash: candidate.specialist.hash,
        task: count.task.id,
        taskName: count.task.name,
        tier: candidate.specialist.tier,
        manifest: stored,
      } satisfies SpecialistPayload,
    },
    {
      kind: 'certification',
      payload: {
        id: certificate.id,
        task: count.task.id,
        specialist: candidate.specialist.hash,
        certificationSet: set.id,
        look: certificate.set.look,
        newestTime: newestOf(read),
        outcome: kept,
      } satisfies CertificationPayload,
    },
  ])
}

/** A certificate and whose it is. */
export interface Certified {
  readonly task: string
  readonly specialist: string
  readonly certificate: string
  readonly outcome: CertificationOutcome
}

/**
 * The operator's override: what is certified goes straight to live, in place of whoever was.
 * @returns false where there is no claim
 */
export async function promote(
  workspace: Workspace,
  { task, specialist, certificate, outcome }: Certified,
): Promise<boolean> {
  const from = (await workspace.store.specialist(specialist))?.state ?? 'candidate'
  const next = nextState(from, 'override', { isCertified: outcome.claimed })
  if (next.to === null || !outcome.claimed) return false
  const live = (await workspace.store.live()).filter(row => row.task === task)
  const leaving = live.filter(row => row.specialist !== specialist)
  const transitions: TransitionPayload[] = [
    ...leaving.map(
      (row): TransitionPayload => ({ ...row, from: 'live', to: 'retired', by: 'operator' }),
    ),
    {
      task,
      specialist,
      from,
      to: next.to,
      by: 'operator',
      certificate,
      threshold: outcome.threshold,
    },
  ]
  await workspace.appendAndProject(
    transitions.map(payload => ({ kind: 'transition', payload }) as const),
  )
  return true
}

/** The newest name, since leads are renewed; the requested one where responses name none. */
function reportedModelOf({ examples }: TaskExamples): string | null {
  const newest = examples.at(-1)
  return newest?.reportedModel ?? newest?.requestedModel ?? null
}

function usageModel({ examples }: TaskExamples): UsageModel {
  return fitUsage(
    examples.flatMap(({ input, answer, usage }) =>
      answer === null || usage === null
        ? []
        : [{ characterCount: input.length, output: answerKey(answer), usage }],
    ),
  )
}

function newestOf({ examples }: TaskExamples): string | null {
  return (
    examples
      .map(({ time }) => time)
      .sort()
      .at(-1) ?? null
  )
}
