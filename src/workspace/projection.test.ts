import { expect, test } from 'vitest'
import { emptyBatch, merged } from './projection.ts'

test('a batch names each task once, by its earliest place', () => {
  const task = (id: string, place: string) => ({
    id,
    name: id,
    isDeclared: false,
    key: null,
    firstTime: place,
    place,
  })
  const parts = ['2026-02', '2026-01', '2026-03'].map(place => ({
    ...emptyBatch(),
    tasks: [task('a', place), task(`only-${place}`, place)],
  }))
  expect(
    merged(parts)
      .tasks.map(({ id, place }) => `${id} ${place}`)
      .sort(),
  ).toEqual(['a 2026-01', 'only-2026-01 2026-01', 'only-2026-02 2026-02', 'only-2026-03 2026-03'])
})
