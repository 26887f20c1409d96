/** The certificate as people and auditors read it: the outcome of a look with everything the promise depends on. */
import type { CertificationOutcome, Reference } from './types.ts'

/** What a certificate's promise was made about; any change of it makes the promise void. */
export interface CertificateSubject {
  readonly task: string
  /** SHA-256 of the specialist's manifest. */
  readonly specialist: string
  /** Lead models as requested, and as the responses reported them; several where the window holds several. */
  readonly leadRequested: readonly string[]
  readonly leadReported: readonly string[]
  readonly reference: Reference
  /** Runtime and version that computed the scores, e.g. `onnxruntime-node 1.30.0`; `typescript` for the reflex. */
  readonly runtime: string
  /** CPU kernel family, e.g. `x64-avx512-vnni`: int8 scores differ between kernels. */
  readonly kernelFamily: string
}

/** The examples of the look. */
export interface CertificateSet {
  readonly id: string
  /** 1 for the first use of this set. */
  readonly look: number
  /** δ before spending; `outcome.delta` is what this look got. */
  readonly delta: number
  /** ISO 8601; null where times are unknown. */
  readonly oldestTime: string | null
  readonly newestTime: string | null
}

/** What voids a certificate; the list is part of it. */
export const VOIDED_BY = [
  'weights',
  'quantisation',
  'template',
  'lead-model',
  'threshold',
  'runtime',
  'kernel-family',
] as const

export interface Certificate extends CertificateSubject {
  readonly id: string
  /** ISO 8601, when it was issued. */
  readonly time: string
  /** One randomly chosen request per input group. */
  readonly unit: 'distinct inputs'
  readonly set: CertificateSet
  /** δ that this look spent. */
  readonly deltaSpent: number
  /** The claim, or why there is none: kind, α, threshold, n, k, coverage, method. */
  readonly outcome: CertificationOutcome
  readonly voidedBy: readonly (typeof VOIDED_BY)[number][]
}

/** Puts a certificate together; plain JSON, frozen. */
export function buildCertificate(parts: {
  readonly id: string
  readonly time: string
  readonly subject: CertificateSubject
  readonly set: CertificateSet
  readonly outcome: CertificationOutcome
}): Certificate {
  const { id, time, subject, set, outcome } = parts
  return Object.freeze({
    id,
    time,
    ...subject,
    unit: 'distinct inputs',
    set,
    deltaSpent: outcome.delta,
    outcome,
    voidedBy: VOIDED_BY,
  })
}
