/** One function per operator of `operators-quantized.ts`, named exactly as it. */
import type { Result, Value } from './graph.ts'
import { apply } from './operators.ts'

/** A tensor as bytes with what turns them back into floats. */
export interface QuantizedValue {
  readonly values: Value
  /** float32: one, or one per column. */
  readonly scale: Value
  /** Of the type of `values`; 0 when left out. */
  readonly zeroPoint?: Value | undefined
}

/** uint8 by the range of the whole tensor, found at run time. */
export function DynamicQuantizeLinear(x: Value): Required<QuantizedValue> {
  const [values, scale, zeroPoint] = apply('DynamicQuantizeLinear', [x]) as [Result, Result, Result]
  return { values, scale, zeroPoint }
}

/** Floats again; scales per tensor, or along `axis`. */
export const DequantizeLinear = ({ values, scale, zeroPoint }: QuantizedValue, axis = 0) =>
  one(apply('DequantizeLinear', [values, scale, ...optional(zeroPoint)], { axis }))

/** int32 `(a − aZero)·(b − bZero)`. */
export const MatMulInteger = (a: Omit<QuantizedValue, 'scale'>, b: Omit<QuantizedValue, 'scale'>) =>
  one(apply('MatMulInteger', [a.values, b.values, a.zeroPoint, ...optional(b.zeroPoint)]))

/** Float `a·b + bias` from integers. */
export const MatMulIntegerToFloat = (a: QuantizedValue, b: QuantizedValue, bias?: Value) =>
  one(
    apply('MatMulIntegerToFloat', [
      a.values,
      b.values,
      a.scale,
      b.scale,
      a.zeroPoint,
      b.zeroPoint,
      ...optional(bias),
    ]),
  )

/** Float `a·b + bias`; `a` is quantised on the way. */
export const DynamicQuantizeMatMul = (a: Value, b: QuantizedValue, bias?: Value) =>
  one(apply('DynamicQuantizeMatMul', [a, b.values, b.scale, b.zeroPoint, ...optional(bias)]))

/** What `MatMulNBits` multiplies by: `[columns, rows]` in blocks of a row. */
export interface BlockQuantized {
  readonly rows: number
  readonly columns: number
  readonly bits: 4 | 8
  readonly blockSize: number
  /** uint8 `[columns, blocks, blockSize · bits / 8]`, low bits first. */
  readonly packed: Value
  /** float32 `[columns · blocks]`. */
  readonly scales: Value
}

/** Float `a·b + bias`; accuracy level 4 lets the kernel quantise `a` too, 1 keeps it in float32. */
export const MatMulNBits = (
  a: Value,
  { rows, columns, bits, blockSize, packed, scales }: BlockQuantized,
  { bias, accuracyLevel = 4 }: { readonly bias?: Value; readonly accuracyLevel?: 1 | 4 } = {},
) =>
  one(
    apply('MatMulNBits', [a, packed, scales, ...(bias ? [undefined, undefined, bias] : [])], {
      K: rows,
      N: columns,
      bits,
      block_size: blockSize,
      accuracy_level: accuracyLevel,
    }),
  )

/** Rows of a table in blocks of its last axis, as floats. */
export const GatherBlockQuantized = (
  { values, scale, zeroPoint }: QuantizedValue,
  indices: Value,
  { blockSize, bits }: { readonly blockSize: number; readonly bits: 4 | 8 },
) =>
  one(
    apply('GatherBlockQuantized', [values, indices, scale, ...optional(zeroPoint)], {
      gather_axis: 0,
      quantize_axis: 1,
      block_size: blockSize,
      bits,
    }),
  )

function one(results: readonly Result[]): Result {
  return results[0] as Result
}

function optional(value: Value | undefined): Value[] {
  return value === undefined ? [] : [value]
}
