/** What the ledger's records say. Payloads are JSON; a reader ignores fields that it does not know. */

export type RecordKind =
  /** First record of a writer: node, software version, last heads of the other writers. */
  | 'genesis'
  /** One request with its answer and everything its decision rested on. */
  | 'trace'
  /** Which input group each new input of a task belongs to, and on which side of the split. */
  | 'split'
  /** A specialist was made: artefact hashes, recipe, training window. */
  | 'specialist'
  /** One look at certification examples, with the certificate or the reason for none. */
  | 'certification'
  /** A specialist changed state. */
  | 'transition'
  /** The payload of an earlier record was erased. */
  | 'erasure'

/** Where a record lies and how to check it. */
export interface RecordPosition {
  readonly writer: string
  /** Counts from 0 within the writer. */
  readonly seq: number
  readonly segment: number
  /** Byte offset of the record's header line in its segment. */
  readonly offset: number
  /** SHA-256 over the header, which commits to the previous hash and to the payload; hexadecimal. */
  readonly hash: string
}

/** A record as read back. `payload` is null where it was erased. */
export interface LedgerRecord {
  readonly position: RecordPosition
  readonly kind: RecordKind
  /** ISO 8601. */
  readonly time: string
  readonly payload: unknown
}

/** The bodies of one exchange: JSON where they parse, else text; streamed answers are folded into one completion. */
export interface TracePayload {
  /** Decision id. */
  readonly id: string
  /** What makes an import idempotent: the source's id, else hash of the line plus its occurrence; live: the decision id. */
  readonly identity: string
  /** SHA-256 of canonical request and response, to report an id that returns with other content; live: of the decision id. */
  readonly contentHash: string
  readonly source: 'import' | 'gateway'
  readonly time: string
  readonly app: string | null
  readonly endpoint: string
  readonly request: unknown
  readonly response: unknown
  readonly status: number
  readonly latencyMs: number | null
  /** True where the client got its answer as server-sent events. */
  readonly isStream: boolean
  /** False where the client left, or the lead broke off, before the end. */
  readonly isComplete: boolean
  /** A declared task (`--task`, config, header) this trace was bound to, by name. */
  readonly declaredTask: string | null
  readonly decision: Decision | null
  /** The id under which gateway, lead and logs know this request; absent in imports and older records. */
  readonly requestId?: string
  /** What was tried among several upstreams; absent where there is one lead, or it was not asked. */
  readonly trail?: RouteTrail
  /** What it was counted as against the caller's key; absent without a key, and where no lead was asked. */
  readonly charge?: Charge
}

export interface Charge {
  /** Id of the key. */
  readonly key: string
  readonly promptTokens: number
  readonly completionTokens: number
  /** Null where the model has no price. */
  readonly usd: number | null
  /** True where the answer reported no tokens or broke off, so that they were estimated. */
  readonly isEstimated: boolean
}

/** What was tried for one request, in order. */
export interface RouteTrail {
  /** Null where the model named none, so that the default upstream answered. */
  readonly route: string | null
  /** Who answered last; null: nobody. */
  readonly upstream: string | null
  /** As which model; null: the caller's. */
  readonly model: string | null
  readonly tries: readonly RouteTry[]
}

export interface RouteTry {
  readonly upstream: string
  readonly model: string | null
  /** HTTP status; null where none came. */
  readonly status: number | null
  /** Code of the failure; null where there was a status. */
  readonly error: string | null
  /** Until the first byte of the answer, or the failure. */
  readonly latencyMs: number
}

/** What a specialist runs on. */
export type Tier = 'slm' | 'encoder' | 'reflex'

/** `cache`: an earlier answer of the lead to an equal request. */
export type ServedBy = Tier | 'lead' | 'cache'

/** Everything that the choice between lead and specialist rested on, so that it can be recomputed. */
export interface Decision {
  /** Task id, null where none matched. */
  readonly task: string | null
  /** Its name where it was declared (by header or configuration) rather than found. */
  readonly declaredTask: string | null
  readonly servedBy: ServedBy
  /** A code of the reasons table in `cascade/`. */
  readonly reason: string
  /** What exactly, where the code alone does not say (a parameter's name). */
  readonly reasonDetail: string | null
  /** The caller's `x-understudy-mode`. */
  readonly mode: 'auto' | 'lead' | 'specialist'
  readonly configHash: string
  readonly specialist: string | null
  readonly certificate: string | null
  readonly tiers: readonly TierScore[]
  readonly draws: readonly RandomDraw[]
  /** Probability with which the lead was asked, given the input's score. 1 where no specialist was live. */
  readonly leadProbability: number
  /** The specialist's answer where it gave one, even if the lead's was returned. */
  readonly specialistAnswer: unknown
}

export interface TierScore {
  readonly tier: Tier
  readonly score: number
  readonly confidence: number
  readonly threshold: number | null
  readonly latencyMs: number
}

export interface RandomDraw {
  readonly name: string
  readonly value: number
  readonly probability: number
}

/** Payload of a `split` record. */
export interface SplitPayload {
  readonly task: string
  readonly assignments: readonly SplitAssignment[]
  /** Certification groups that a bridging newcomer moved to training. */
  readonly droppedGroups: readonly string[]
}

export type Side = 'training' | 'certification'

/** One distinct input: which group it joined and on which side that group lies. */
export interface SplitAssignment {
  /** SHA-256 of the normalised input. */
  readonly inputHash: string
  readonly group: string
  readonly side: Side
}

/** Payload of a `specialist` record. */
export interface SpecialistPayload {
  /** SHA-256 of the manifest, which names every artefact by hash. */
  readonly hash: string
  readonly task: string
  readonly taskName: string
  readonly tier: Tier
  readonly manifest: unknown
}

/** Payload of a `certification` record. */
export interface CertificationPayload {
  /** Certificate id. */
  readonly id: string
  readonly task: string
  readonly specialist: string
  readonly certificationSet: string
  readonly look: number
  /** Newest trace time in the certification set, to tell whether a later look is on newer examples only. */
  readonly newestTime: string | null
  readonly outcome: unknown
}

export type SpecialistState = 'candidate' | 'shadow' | 'canary' | 'live' | 'retired'

/** Payload of a `transition` record. */
export interface TransitionPayload {
  readonly task: string
  readonly specialist: string
  readonly from: SpecialistState
  readonly to: SpecialistState
  /** Who or what decided: `operator`, `evidence`. */
  readonly by: string
  readonly certificate: string | null
  readonly threshold: number | null
}
