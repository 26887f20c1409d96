/** Virtual keys as the configuration describes them. Knows no hashes and no counters. */
import type { KeySection } from './sections.ts'

/** `caller`: models; `operator`: everything; `auditor`: reads the gateway's own API, calls no model. */
export type KeyRole = 'caller' | 'operator' | 'auditor'

export type BudgetPeriod = 'day' | 'week' | 'month' | 'total'

/** What a key may do; null: no limit. */
export interface KeyRules {
  readonly role: KeyRole
  readonly app: string | null
  /** Models and routes, `*` at the end for anything. */
  readonly models: readonly string[] | null
  readonly requestsPerMinute: number | null
  readonly tokensPerMinute: number | null
  readonly budget: { readonly usd: number; readonly per: BudgetPeriod } | null
  /** Milliseconds since the Unix epoch. */
  readonly expiresMs: number | null
}

/** A key of the configuration file or the environment. */
export interface ConfigKey extends KeyRules {
  /** Secret. */
  readonly key: string
  readonly name: string
}

export type RulesSection = Omit<KeySection, 'key' | 'name'>

/** The rules that a section of the file, or the body of a request, states. */
export function keyRules(section: RulesSection): KeyRules {
  const { app, role, models, budget, expires } = section
  return {
    role: role ?? (app === undefined ? 'operator' : 'caller'),
    app: app ?? null,
    models: models ?? null,
    requestsPerMinute: section['requests-per-minute'] ?? null,
    tokensPerMinute: section['tokens-per-minute'] ?? null,
    budget: budget === undefined ? null : { usd: budget.usd, per: budget.per ?? 'month' },
    expiresMs: expires ?? null,
  }
}

export function configKey({ key, name, ...rules }: KeySection, index: number): ConfigKey {
  return { key, name: name ?? rules.app ?? `key-${index + 1}`, ...keyRules(rules) }
}
