/** Layer 2, portable: ONNX graphs as immutable values. */
export { emit } from './emit.ts'
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
