/** Central differences of a graph in double precision, the slow way to a gradient. Knows no rules. */
import type { Input, Value } from '../../src/engine/index.ts'
import { evaluate } from '../../src/engine/reference.ts'
import type { NumericTensor } from '../../src/engine/reference-tensor.ts'

/** With doubles, the error of cutting the series (h²) and that of rounding (1e−16 / h) meet near here. */
const STEP = 1e-5

/** The gradient of a scalar with respect to one input, at what is fed. */
export function centralDifferences(
  loss: Value,
  wrt: Input,
  feeds: ReadonlyMap<Input, NumericTensor>,
): number[] {
  const { dims, data } = feeds.get(wrt) as NumericTensor
  const lossAt = (place: number, step: number): number => {
    const moved = data.slice()
    moved[place] = (data[place] as number) + step
    const [found] = evaluate([loss], new Map(feeds).set(wrt, { dims, data: moved }))
    return found?.data[0] as number
  }
  return Array.from(data, (_, place) => (lossAt(place, STEP) - lossAt(place, -STEP)) / (2 * STEP))
}
