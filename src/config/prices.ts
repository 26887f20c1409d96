/**
 * What well-known models cost at list price, to estimate savings. Prices change: the configuration file overrides any of
 * them under `prices:`. Read on 2026-11-23 from public lists of the providers' prices (docs/decisions/2026-11-23-prices.md
 * names them); without discounts for cached input or batches.
 */

/** US dollars per million tokens. */
export interface ModelPrice {
  readonly inUsd: number
  readonly outUsd: number
}

export type PriceTable = Readonly<Record<string, ModelPrice>>

export const PRICES_AS_OF = '2026-11-23'

export const DEFAULT_PRICES: PriceTable = {
  'gpt-4.1': { inUsd: 2, outUsd: 8 },
  'gpt-4.1-mini': { inUsd: 0.4, outUsd: 1.6 },
  'gpt-4.1-nano': { inUsd: 0.1, outUsd: 0.4 },
  'gpt-4o': { inUsd: 2.5, outUsd: 10 },
  'gpt-4o-mini': { inUsd: 0.15, outUsd: 0.6 },
  'gpt-4-turbo': { inUsd: 10, outUsd: 30 },
  'gpt-3.5-turbo': { inUsd: 0.5, outUsd: 1.5 },
  'o3-mini': { inUsd: 1.1, outUsd: 4.4 },
  'o4-mini': { inUsd: 1.1, outUsd: 4.4 },
  'claude-sonnet-4-5': { inUsd: 3, outUsd: 15 },
  'claude-haiku-4-5': { inUsd: 1, outUsd: 5 },
  'gemini-2.5-pro': { inUsd: 1.25, outUsd: 10 },
  'gemini-2.5-flash': { inUsd: 0.3, outUsd: 2.5 },
}

/** Dates and `latest` at the end of a model's name. */
const SNAPSHOT = /(-\d{4}-\d{2}-\d{2}|-\d{8}|-latest)$/

/**
 * The price of a model: by its exact name, else without a provider's prefix (`openai/`), else without a snapshot date.
 * Null where unknown: then costs are left out, not guessed.
 */
export function priceOf(model: string, prices: PriceTable = DEFAULT_PRICES): ModelPrice | null {
  const bare = model.slice(model.lastIndexOf('/') + 1)
  for (const name of [model, bare, bare.replace(SNAPSHOT, '')]) {
    const price = Object.hasOwn(prices, name) ? prices[name] : undefined
    if (price !== undefined) return price
  }
  return null
}
