import { expect, it } from 'vitest'
import { kernelFamily } from '../platform/index.ts'
import { computedBy } from './stored.ts'

it('counts a GPU as other kernels, so that a certificate of one is void on the other', () => {
  expect(computedBy('encoder').kernelFamily).toBe(kernelFamily())
  expect(computedBy('encoder', 'cuda').kernelFamily).toBe('cuda')
  expect(computedBy('encoder', 'cuda').runtime).toBe(computedBy('encoder').runtime)
  expect(computedBy('reflex', 'cuda')).toEqual(computedBy('reflex'))
})
