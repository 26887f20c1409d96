/** Operators that serve and never train: they have no gradient. */

/**
 * Integers have no slope: what trains on top of quantised weights keeps them in floats. Attention in one step is written out
 * where it trains.
 */
export const SERVING_ONLY = {
  DynamicQuantizeLinear: null,
  DequantizeLinear: null,
  MatMulInteger: null,
  MatMulIntegerToFloat: null,
  DynamicQuantizeMatMul: null,
  MatMulNBits: null,
  GatherBlockQuantized: null,
  MultiHeadAttention: null,
} as const
