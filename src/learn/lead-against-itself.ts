/** How often the lead contradicts itself where a specialist would serve: the floor under any disagreement with it. */
import { type SelfDisagreement, selfDisagreement, serves } from '../evals/index.ts'
import { canonicalJson, countBy, normaliseText } from '../util/index.ts'
import type { LookRow } from './look.ts'

/** Over the inputs that came more than once and that the threshold serves. */
export function leadAgainstItself<Output>(
  requests: readonly LookRow<Output>[],
  threshold: number,
): SelfDisagreement {
  const byInput = new Map<string, LookRow<Output>[]>()
  for (const row of requests) {
    if (!serves(row.score, threshold)) continue
    const key = normaliseText(row.input)
    const list = byInput.get(key)
    if (list === undefined) byInput.set(key, [row])
    else list.push(row)
  }
  return selfDisagreement(
    [...byInput.values()].map(list => [
      ...countBy(list, row => canonicalJson(row.expected)).values(),
    ]),
  )
}
