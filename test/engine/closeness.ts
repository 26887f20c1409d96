/** How numbers of different machines are compared. */
import { expect } from 'vitest'

/** Each within `relative` of what is wanted, or of 1 where that is less: small numbers are differences of larger ones. */
export function expectClose(
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  relative: number,
): void {
  expect(got).toHaveLength(wanted.length)
  const far = Array.from(wanted).flatMap((value, place) => {
    const found = got[place] as number
    const error = Math.abs(found - value) / Math.max(1, Math.abs(value))
    return error <= relative ? [] : [{ place, found, wanted: value, error }]
  })
  expect(far).toEqual([])
}
