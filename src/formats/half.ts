/** 16-bit floating-point numbers as bits, both ways. Knows no file. */

/** IEEE 754 binary16 to the bits of a binary32, subnormals included. */
export function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13)
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13)
  if (fraction === 0) return sign
  const shift = Math.clz32(fraction) - 21
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
}

/** The bits of a binary32 to binary16, to the nearest and of two equally near the even one (IEEE 754 §4.3.1). */
export function floatBitsToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 112
  const fraction = bits & 0x7fffff
  if (exponent === 0xff - 112) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200)
  if (exponent >= 0x1f) return sign | 0x7c00
  if (exponent < -10) return sign
  // A carry out of the fraction runs into the exponent, which is what rounding up must do.
  if (exponent > 0) return sign | roundShift((exponent << 23) | fraction, 13)
  return sign | roundShift(fraction | 0x800000, 14 - exponent)
}

function roundShift(value: number, shift: number): number {
  const kept = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const middle = 1 << (shift - 1)
  return rest > middle || (rest === middle && kept % 2 === 1) ? kept + 1 : kept
}
