/** Rows that a model of eight units can learn, for tests of training. */
import { createRng } from '../../../util/index.ts'
import type { LabelledRow, TrainTask } from '../labelled-rows.ts'

/** Texts of a few words, one of which decides: hello or world. */
export function toyRows(task: TrainTask, count: number): LabelledRow[] {
  const rng = createRng(task)
  return Array.from({ length: count }, (_, i) => {
    const words = Array.from({ length: 3 + rng.int(4) }, () => rng.pick(['a', 'b', 'c', '!']))
    const at = rng.int(words.length)
    const said = i % 2 === 0 ? 'hello' : 'world'
    words[at] = said
    const text = words.join(' ')
    const start = words.slice(0, at).join(' ').length + (at === 0 ? 0 : 1)
    const rows: Record<TrainTask, LabelledRow> = {
      label: { text, label: said },
      labels: { text, labels: text.includes('!') ? [said, 'loud'] : [said] },
      pair: { text: 'a b', pair: text, label: said },
      spans: { text, spans: [{ start, end: start + said.length, label: said }] },
    }
    return rows[task]
  })
}
