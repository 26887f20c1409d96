/** What kind of answers a task has. The rest of the house treats outputs as opaque. */
import type { Answer } from '../wire/index.ts'

/**
 * One kind of output: how to read it from the lead's answers, write it back in the lead's exact shape, and compare.
 * Implementations must be pure; `Output` must survive JSON.
 */
export interface OutputKind<Output, Schema> {
  readonly name: string
  /**
   * Looks at the lead's answers of a task (training part only; null: the response held none) and says whether this
   * kind fits. The schema holds all that `parse` and `render` need, as JSON.
   */
  recognise(
    answers: readonly (Answer | null)[],
  ): { schema: Schema } | { schema: null; reason: string }
  /** The output in an answer, null where the answer lies outside the schema. */
  parse(schema: Schema, answer: Answer): Output | null
  /** The answer as the lead would have written it. */
  render(schema: Schema, output: Output): Answer
  /** Loss in [0, 1]; 0: same. `expected` null (outside the schema, refused, truncated) counts as 1. */
  compare(schema: Schema, expected: Output | null, got: Output): number
}
