/** Budget periods in UTC. */
import type { BudgetPeriod } from '../config/index.ts'

const DAY_MS = 86_400_000

/** The UTC day of a moment, such as `2026-11-27`. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** First day of the period that a moment falls in; weeks begin on Monday. */
export function periodStart(period: BudgetPeriod, ms: number): string {
  const date = new Date(ms)
  switch (period) {
    case 'day':
      return dayOf(ms)
    case 'week':
      return dayOf(ms - ((date.getUTCDay() + 6) % 7) * DAY_MS)
    case 'month':
      return `${dayOf(ms).slice(0, 8)}01`
    case 'total':
      return ''
  }
}

/** When the next period begins; null: never. */
export function periodEndMs(period: BudgetPeriod, ms: number): number | null {
  if (period === 'total') return null
  const start = Date.parse(periodStart(period, ms))
  if (period === 'day') return start + DAY_MS
  if (period === 'week') return start + 7 * DAY_MS
  const date = new Date(start)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
}
