import { expect, it } from 'vitest'
import { cooledHead } from './export-model.ts'

it('divides a head that is too sure of itself, and makes none surer', () => {
  const head = { weights: Float32Array.of(3, -6), bias: Float32Array.of(1.5, 0) }
  const { weights, bias } = cooledHead(head, 3)
  expect([...weights, ...bias]).toEqual([1, -2, 0.5, 0])
  expect(cooledHead(head, 0.02)).toEqual(head)
})
