/** Which family of CPU kernels computes here: scores of the same model differ between families in their last digits. */
import { readFileSync } from 'node:fs'

/** Widest first; MLAS picks its kernels by these. */
const X64_FLAGS = ['amx_int8', 'avx512_vnni', 'avx512f', 'avx_vnni', 'avx2', 'avx'] as const

/** For example `x64-avx512_vnni`; the bare architecture where the system does not tell more. */
export function kernelFamily(): string {
  if (process.arch !== 'x64') return process.arch
  let text = ''
  try {
    text = readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return process.arch
  }
  const flags = new Set(/^flags\s*:(.*)$/mu.exec(text)?.[1]?.trim().split(/\s+/u))
  const widest = X64_FLAGS.find(flag => flags.has(flag))
  return widest === undefined ? process.arch : `${process.arch}-${widest}`
}
