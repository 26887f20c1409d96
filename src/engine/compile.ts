/** A loss and its parameters turned into the ONNX models of a training step. Emits bytes; knows no runtime and no buffers. */
import { emit, emitApart, type GraphParts } from './emit.ts'
import { grad } from './grad.ts'
import { type Input, input, type Value } from './graph.ts'
import { Add, Mul, ReduceSumSquare } from './ops.ts'
import type { Optimizer } from './optimizers.ts'

export interface TrainingGraph {
  readonly name: string
  /** What is fed anew with every batch. */
  readonly data: readonly Input[]
  /** Float32 inputs that are trained, of known sizes, or `[named, width]` where only some rows of a table are fed. */
  readonly parameters: readonly Input[]
  /** Scalar; a mean over the examples of the batch. */
  readonly loss: Value
  /** Further results wanted with each step, by name. */
  readonly outputs?: Readonly<Record<string, Value>>
  /** See `GradOptions.keep`. */
  readonly keep?: readonly Value[]
}

export interface TrainingModels {
  /** Data and parameters in; `loss`, the outputs, and `gradient:NAME` of each parameter out. */
  readonly gradients: GraphParts
  /** One optimiser step of n parameters: see `UPDATE`. */
  readonly update: Uint8Array<ArrayBuffer>
  /** `values` [n] in, `sum` of their squares out. */
  readonly norm: Uint8Array<ArrayBuffer>
  /** `sum` and `values` [n] and scalar `share` in, `sum + share·values` out. */
  readonly accumulate: Uint8Array<ArrayBuffer>
}

/** Names of the update model: moments and scalars of the optimiser are fed under their own. */
export const UPDATE = {
  weight: 'weight',
  gradient: 'gradient',
  /** Scalar by which every gradient is multiplied first: clipping. */
  gradientScale: 'gradientScale',
  newWeight: 'newWeight',
  /** The output of a moment. */
  newMoment: (name: string) => `new:${name}`,
} as const

export const LOSS = 'loss'
export const gradientName = (parameter: string) => `gradient:${parameter}`

/** @throws bug when the loss cannot be differentiated */
export function compileTraining(graph: TrainingGraph, optimizer: Optimizer): TrainingModels {
  return {
    gradients: gradientsModel(graph),
    update: updateModel(optimizer),
    norm: normModel(),
    accumulate: accumulateModel(),
  }
}

function gradientsModel({ name, data, parameters, loss, outputs, keep = [] }: TrainingGraph) {
  const gradients = grad(loss, parameters, { keep })
  return emitApart(`${name}-gradients`, {
    inputs: [...data, ...parameters],
    outputs: {
      [LOSS]: loss,
      ...outputs,
      ...Object.fromEntries(
        parameters.map((one, i) => [gradientName(one.name), gradients[i] as Value]),
      ),
    },
  })
}

function updateModel(optimizer: Optimizer) {
  const vector = (name: string) => input(name, 'float32', ['n'])
  const number = (name: string) => input(name, 'float32', [])
  const weight = vector(UPDATE.weight)
  const gradient = vector(UPDATE.gradient)
  const gradientScale = number(UPDATE.gradientScale)
  const moments = named(optimizer.moments, vector)
  const names = Object.keys(optimizer.scalars({ step: 1, learningRate: 0, weightDecay: 0 }))
  const scalars = named(names, number)
  const updated = optimizer.update({
    weight,
    gradient: Mul(gradient, gradientScale),
    moments,
    scalars,
  })
  return emit(`${optimizer.name}-update`, {
    inputs: [weight, gradient, gradientScale, ...Object.values(moments), ...Object.values(scalars)],
    outputs: {
      [UPDATE.newWeight]: updated.weight,
      ...Object.fromEntries(
        Object.entries(updated.moments).map(([name, value]) => [UPDATE.newMoment(name), value]),
      ),
    },
  })
}

function normModel() {
  const values = input('values', 'float32', ['n'])
  return emit('norm', {
    inputs: [values],
    outputs: { sum: ReduceSumSquare(values, undefined, { keep: false }) },
  })
}

function accumulateModel() {
  const sum = input('sum', 'float32', ['n'])
  const values = input('values', 'float32', ['n'])
  const share = input('share', 'float32', [])
  return emit('accumulate', {
    inputs: [sum, values, share],
    outputs: { newSum: Add(sum, Mul(values, share)) },
  })
}

function named(names: readonly string[], make: (name: string) => Input): Record<string, Input> {
  return Object.fromEntries(names.map(name => [name, make(name)]))
}
