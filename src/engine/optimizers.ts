/** Optimisers as graph fragments: one step of a stretch of parameters, whatever they belong to. Knows no model. */
import { adamWKernel, type Kernel } from './adamw-kernel.ts'
import { scalar, type Value } from './graph.ts'
import { Add, Div, Mul, Sqrt, Sub } from './ops.ts'

/** What changes from step to step, fed as numbers. */
export interface StepSettings {
  /** Counted from 1. */
  readonly step: number
  readonly learningRate: number
  /** Share of each decayed parameter taken off per unit of learning rate; 0 for the others. */
  readonly weightDecay: number
}

export interface Optimizer {
  readonly name: string
  /** Numbers of this kind kept for each parameter, all 0 at the start. */
  readonly moments: readonly string[]
  /** Names of the scalars that `update` reads, with their values at a step. */
  scalars(settings: StepSettings): Readonly<Record<string, number>>
  /** One step. All values have one shape; `scalars` have none. */
  update(values: {
    readonly weight: Value
    readonly gradient: Value
    readonly moments: Readonly<Record<string, Value>>
    readonly scalars: Readonly<Record<string, Value>>
  }): { readonly weight: Value; readonly moments: Readonly<Record<string, Value>> }
  /** The same step in one pass over memory; where there is none, or no memory large enough, `update` runs as a graph. */
  readonly kernel?: (memory: WebAssembly.Memory) => Kernel
}

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), bias-corrected as PyTorch does:
 * `w ← (1 − lr·λ)·w − lr·m̂ / (√v̂ + ε)`. The moments are kept as sums, `f = m / (1 − β₁)` and `s = v / (1 − β₂)`, and the
 * factors go into the two scalars: each operator is one more pass over memory.
 */
export function adamW({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = {}): Optimizer {
  return {
    name: 'adamw',
    moments: ['first', 'second'],
    scalars({ step, learningRate, weightDecay }) {
      const root = Math.sqrt((1 - beta2) / (1 - beta2 ** step))
      return {
        stepSize: (learningRate * (1 - beta1)) / (1 - beta1 ** step) / root,
        epsilon: epsilon / root,
        keep: 1 - learningRate * weightDecay,
      }
    },
    update({ weight, gradient, moments, scalars }) {
      const first = Add(Mul(moments.first as Value, scalar(beta1)), gradient)
      const second = Add(Mul(moments.second as Value, scalar(beta2)), Mul(gradient, gradient))
      const direction = Div(first, Add(Sqrt(second), scalars.epsilon as Value))
      const kept = Mul(weight, scalars.keep as Value)
      return {
        weight: Sub(kept, Mul(direction, scalars.stepSize as Value)),
        moments: { first, second },
      }
    },
    kernel: memory => adamWKernel(memory, { beta1, beta2 }),
  }
}

/** Gradient descent with momentum and decoupled weight decay. */
export function sgd({ momentum = 0 } = {}): Optimizer {
  return {
    name: 'sgd',
    moments: momentum === 0 ? [] : ['velocity'],
    scalars: ({ learningRate, weightDecay }) => ({
      stepSize: learningRate,
      keep: 1 - learningRate * weightDecay,
    }),
    update({ weight, gradient, moments, scalars }) {
      const velocity =
        moments.velocity === undefined
          ? gradient
          : Add(Mul(moments.velocity, scalar(momentum)), gradient)
      return {
        weight: Sub(Mul(weight, scalars.keep as Value), Mul(velocity, scalars.stepSize as Value)),
        moments: moments.velocity === undefined ? {} : { velocity },
      }
    },
  }
}

/** Learning rate as a share of its peak, by step from 0. */
export type Schedule = (step: number) => number

export interface ScheduleOptions {
  readonly stepCount: number
  /** Steps over which it rises linearly from 0. */
  readonly warmupCount?: number
}

/** Rises, then falls in a straight line to 0 behind the last step (as `get_linear_schedule_with_warmup` of transformers). */
export function linearSchedule({ stepCount, warmupCount = 0 }: ScheduleOptions): Schedule {
  return step =>
    step < warmupCount
      ? step / warmupCount
      : Math.max(0, (stepCount - step) / Math.max(1, stepCount - warmupCount))
}

/** Rises, then falls along half a cosine (Loshchilov & Hutter 2017). */
export function cosineSchedule({ stepCount, warmupCount = 0 }: ScheduleOptions): Schedule {
  return step => {
    if (step < warmupCount) return step / warmupCount
    const done = Math.min(1, (step - warmupCount) / Math.max(1, stepCount - warmupCount))
    return 0.5 * (1 + Math.cos(Math.PI * done))
  }
}

/** Rises, then stays. */
export function constantSchedule({ warmupCount = 0 }: Partial<ScheduleOptions> = {}): Schedule {
  return step => (step < warmupCount ? step / warmupCount : 1)
}
