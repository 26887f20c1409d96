/** Layer 2, portable: ONNX graphs as immutable values, their gradients, and training steps on a runtime that is handed in. */

export type { ParameterSpec } from './arena.ts'
export {
  compileTraining,
  gradientName,
  LOSS,
  type TrainingGraph,
  type TrainingModels,
} from './compile.ts'
export { type EmittedGraph, emit, emitApart, type GraphParts } from './emit.ts'
export { type GradOptions, grad } from './grad.ts'
export {
  type Constant,
  type ConstantData,
  constant,
  type Dim,
  type DType,
  float32,
  type Input,
  input,
  int64,
  type Node,
  type Result,
  scalar,
  type TensorType,
  type Value,
} from './graph.ts'
export type { OperatorRule } from './operator-rules.ts'
export { OPERATORS, type OperatorName } from './operators.ts'
export * from './ops.ts'
export {
  adamW,
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Optimizer,
  type Schedule,
  sgd,
} from './optimizers.ts'
export {
  type Feeds,
  type MicroBatch,
  openTrainer,
  type StepOptions,
  type StepResult,
  type TensorData,
  type Trainer,
  type TrainerOptions,
  type TrainerState,
  type TrainingRuntime,
} from './trainer.ts'
export type { RowsSpec } from './trainer-rows.ts'
