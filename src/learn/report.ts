/** What a learning run reports, as plain JSON: the terminal, the page and machines all read this. Knows no rendering. */
import type { CertificationOutcome, PromiseKind } from '../evals/index.ts'
import type { SpecialistState, Tier } from '../ledger/index.ts'

/** Target risks of the columns every report shows; each is a statement of its own at the full δ. */
export const REPORT_RISKS: readonly number[] = [0.01, 0.02, 0.05, 0.1]

/** US dollars per million tokens. */
export interface TokenPrice {
  readonly inUsd: number
  readonly outUsd: number
}

/** An estimate with its interval; not a promise. */
export interface Estimate {
  readonly value: number
  readonly low: number
  readonly high: number
}

export interface Latency {
  readonly p50Ms: number
  readonly p95Ms: number
  readonly sampleCount: number
}

export interface LearnReport {
  readonly version: 1
  /** ISO 8601. */
  readonly generatedAt: string
  readonly settings: ReportSettings
  readonly imported: ImportSummary | null
  /** All requests looked at, those of tasks left alone included. */
  readonly requestCount: number
  /** Null where no price is known for any learned task. */
  readonly totalCost: CostWindow | null
  readonly tasks: readonly TaskReport[]
  readonly leftAlone: readonly LeftAlone[]
  /** Names of the tasks whose time was up before an encoder was fitted. */
  readonly withoutEncoder: readonly string[]
  /** Sentences for people that concern the whole run, such as the missing redaction. */
  readonly notices: readonly string[]
}

export interface ReportSettings {
  readonly targetRisk: number
  readonly confidenceLevel: number
  readonly promise: PromiseKind
  readonly seed: number
}

export interface ImportSummary {
  readonly files: readonly string[]
  readonly importedCount: number
  readonly knownCount: number
  readonly brokenCount: number
  /** The first broken lines. */
  readonly broken: readonly {
    readonly file: string
    readonly line: number
    readonly reason: string
  }[]
}

/** What the requests of a window cost at the lead, and would cost with the specialist answering what it may. */
export interface CostWindow {
  readonly nowUsd: number
  readonly afterUsd: number
  readonly requestCount: number
}

/** A task that nobody tried to learn, or that could not be. */
export interface LeftAlone {
  readonly name: string
  readonly app: string | null
  readonly requestCount: number
  /** One sentence for people. */
  readonly because: string
}

export interface TaskReport {
  readonly id: string
  readonly name: string
  readonly key: TaskSummary
  readonly requestCount: number
  readonly distinctInputCount: number
  readonly window: { readonly from: string; readonly to: string } | null
  /** The closed set, most frequent first. */
  readonly answers: readonly { readonly label: string; readonly count: number }[]
  /** Lead answers that were refused, truncated or unreadable, by reason; they count as differing. */
  readonly withoutAnswer: Readonly<Record<string, number>>
  /** Requests that no specialist may answer, by reason; neither learned from nor counted in any share. */
  readonly notServable: Readonly<Record<string, number>>
  readonly specialist: SpecialistSummary | null
  /** At the target risk asked for; this is what may go live. Null where no specialist could be fitted. */
  readonly goal: CertificationOutcome | null
  readonly certificateId: string | null
  /** Number of this look at the certification set, and what was left of δ for it. */
  readonly look: { readonly number: number; readonly delta: number } | null
  /** One outcome per `REPORT_RISKS`. */
  readonly selective: readonly CertificationOutcome[]
  readonly marginal: readonly CertificationOutcome[]
  readonly agreement: Agreement | null
  readonly latency: { readonly specialist: Latency | null; readonly lead: Latency | null }
  readonly cost: TaskCost
  readonly charts: TaskCharts | null
}

export interface TaskSummary {
  readonly app: string | null
  readonly model: string | null
  readonly reportedModels: readonly string[]
  /** First words of the system prompt; '' where there is none. */
  readonly systemExcerpt: string
  /** How the lead writes the answer, for people: `label text`, `JSON field queue`, `tool set_urgency`. */
  readonly coat: string
  readonly isDeclared: boolean
}

export interface SpecialistSummary {
  readonly hash: string
  /** Name of the chosen candidate. */
  readonly name: string
  readonly tier: Tier
  readonly state: SpecialistState
  /** Bytes of its own artefacts, without a shared base model. */
  readonly byteCount: number
  readonly trainingCount: number
  readonly candidates: readonly { readonly name: string; readonly estimatedCoverage: number }[]
}

/** How often the specialist, answering everything, agrees with the lead on certification inputs. */
export interface Agreement {
  readonly certificationCount: number
  /** Share of distinct inputs. */
  readonly all: number
  /** Share among the newest fifth by time, with exact 95 % bounds. */
  readonly newestFifth: Estimate | null
  /** True where the newest fifth's bounds exclude the share of all. */
  readonly newestDiffers: boolean
  /** P(differs | served) weighted by traffic at the goal's threshold, with a bootstrap interval over input groups. */
  readonly servedTrafficRisk: Estimate | null
  /** How often two answers of the lead to the same served input differ; null where no input came back. */
  readonly leadSelfDisagreement: { readonly rate: number; readonly inputCount: number } | null
  /** Share of the traffic that would have been served at the goal's threshold. */
  readonly servedTrafficShare: number | null
}

export interface TaskCost {
  /** The whole window of this task; null where the model's price or the token counts are unknown. */
  readonly window: CostWindow | null
  readonly nowPerThousandUsd: number | null
  readonly afterPerThousandUsd: number | null
  /** Why there is no figure, or what the figure leaves out. */
  readonly note: string
}

export interface TaskCharts {
  /** Risk against coverage on certification inputs, thinned to at most 120 points. */
  readonly curve: readonly {
    readonly coverage: number
    readonly risk: number
    readonly threshold: number
  }[]
  readonly reliability: readonly {
    readonly confidence: number
    readonly agreement: number
    readonly count: number
  }[]
  readonly calibrationError: number
  readonly confusion: Confusion
  /** Certification inputs where both answered and differed, surest first. */
  readonly differences: readonly Difference[]
}

/** The answers most often confused: rows the lead's, columns the specialist's. */
export interface Confusion {
  readonly labels: readonly string[]
  readonly counts: readonly (readonly number[])[]
  readonly pairs: readonly {
    readonly lead: string
    readonly specialist: string
    readonly count: number
  }[]
}

export interface Difference {
  readonly input: string
  /** Null where the lead gave no usable answer. */
  readonly lead: string | null
  readonly specialist: string
  readonly score: number
  /** True where the specialist would have served this at the goal's threshold. */
  readonly isServed: boolean
}
