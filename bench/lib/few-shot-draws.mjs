/** Few-shot draws of a public set: some rows of each class to learn from, and rows that no draw contains to be judged by. */
import { createRng, normaliseText } from '../../dist/util/index.js'
import { readNumbered } from '../datasets.mjs'

/**
 * Every normalised text counts once. `evaluation` is the same whatever the draw, and disjoint from all of them.
 * @returns {{ classes: string[], evaluation: Rows, draw: (seed: number, perClass?: number) => Rows }}, rows being
 *   `{ texts: string[], labels: Int32Array }`
 */
export function fewShot(dataset, dataFolder, { evaluationCount = 2000 } = {}) {
  const { texts, labels, classes } = readNumbered(dataset, dataFolder)
  const seen = new Set()
  const distinct = [...texts.keys()].filter(row => {
    const key = normaliseText(texts[row])
    return !seen.has(key) && seen.add(key)
  })
  const pick = rows => ({
    texts: rows.map(row => texts[row]),
    labels: Int32Array.from(rows, row => labels[row]),
  })
  const order = createRng(`few-shot evaluation ${dataset}`).shuffle([...distinct])
  const pool = order.slice(evaluationCount)
  return {
    classes,
    evaluation: pick(order.slice(0, evaluationCount)),
    draw(seed, perClass = 10) {
      const counts = new Map()
      const shuffled = createRng(`few-shot draw ${dataset} ${seed}`).shuffle([...pool])
      return pick(
        shuffled.filter(row => {
          const count = counts.get(labels[row]) ?? 0
          counts.set(labels[row], count + 1)
          return count < perClass
        }),
      )
    },
  }
}
