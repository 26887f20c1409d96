/** Parts the examples of a task by the split: distinct inputs to fit on, whole groups to certify on. */
import type { Split } from '../tasks/index.ts'
import { canonicalJson } from '../util/index.ts'
import type { LearnExample } from './learn-outcome.ts'

/** The requests of one certification group. */
export interface CertificationGroup {
  readonly group: string
  readonly examples: readonly LearnExample[]
}

export interface Parts {
  /** One example per distinct input: a text that came 50,000 times teaches once, by its most frequent answer. */
  readonly training: readonly (LearnExample & { readonly group: string })[]
  /** In order of group id, examples in order of id, so that the order of import changes nothing. */
  readonly certification: readonly CertificationGroup[]
}

/** Parts the examples; looks at answers of the training side only. */
export function partExamples(examples: readonly LearnExample[], split: Split): Parts {
  const training = new Map<string, LearnExample[]>()
  const groupOf = new Map<string, string>()
  const certification = new Map<string, LearnExample[]>()
  examples.forEach((example, i) => {
    const row = split.ofInput[i]
    if (row === undefined) return
    const [map, key] =
      row.side === 'training' ? [training, row.inputHash] : [certification, row.group]
    groupOf.set(row.inputHash, row.group)
    const list = map.get(key)
    if (list === undefined) map.set(key, [example])
    else list.push(example)
  })
  return {
    training: [...training].map(([inputHash, list]) => ({
      ...mostFrequentAnswer(list),
      group: groupOf.get(inputHash) as string,
    })),
    certification: [...certification]
      .map(([group, list]) => ({ group, examples: list.sort(byId) }))
      .sort((a, b) => (a.group < b.group ? -1 : 1)),
  }
}

/** The latest request that carries the most frequent answer; among equally frequent ones the latest answer. */
function mostFrequentAnswer(examples: readonly LearnExample[]): LearnExample {
  if (examples.length === 1) return examples[0] as LearnExample
  const counts = new Map<string, number>()
  let best = examples[0] as LearnExample
  let bestCount = 0
  for (const example of examples) {
    const key = canonicalJson(example.answer)
    const count = (counts.get(key) ?? 0) + (example.weight ?? 1)
    counts.set(key, count)
    if (count >= bestCount) {
      best = example
      bestCount = count
    }
  }
  return best
}

function byId(a: LearnExample, b: LearnExample): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}
