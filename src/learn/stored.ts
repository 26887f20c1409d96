/** What learning leaves in the ledger for the gateway and for later runs to read. Types, and what computes scores here. */
import type { UsageModel } from '../cascade/index.ts'
import type { Certificate } from '../evals/index.ts'
import { kernelFamily } from '../platform/index.ts'
import { ONNXRUNTIME_VERSION } from '../runtimes/index.ts'
import type { ClosedSetSchema } from '../tasks/index.ts'
import type { TableRow } from './learn-outcome.ts'

/** What a `specialist` record holds, so that the gateway can open and serve it. */
export interface StoredSpecialist {
  readonly kind: 'closed-set'
  /** Its hash is the specialist's. */
  readonly manifest: unknown
  readonly schema: ClosedSetSchema
  readonly usage: UsageModel
  /** What the lead calls itself in its answers; null where the labels are people's. */
  readonly reportedModel: string | null
}

/** What a `certification` record holds. */
export interface StoredOutcome {
  readonly certificate: Certificate
  readonly table: readonly TableRow[]
  /** Hash of the examples and settings: a run on the same basis reads this record instead of looking again. */
  readonly basis: string
  /** SHA-256 of the task's part of the report, among the artefacts. */
  readonly reportBlob: string
}

/**
 * What computes a tier's scores on this machine. The reflex is arithmetic of the language itself: the same everywhere. Scores
 * of a GPU differ from those of a CPU, and the kernels are then those of the execution provider.
 */
export function computedBy(
  tier: string,
  provider = 'cpu',
): { runtime: string; kernelFamily: string } {
  return tier === 'reflex'
    ? { runtime: 'typescript', kernelFamily: 'any' }
    : {
        runtime: `onnxruntime-node ${ONNXRUNTIME_VERSION}`,
        kernelFamily: provider === 'cpu' ? kernelFamily() : provider,
      }
}
