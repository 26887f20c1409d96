/** How many threads llama.cpp may have. Knows cores and quotas, no model. */
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

/**
 * One physical core fewer than there are, at least one. llama.cpp's threads busy-wait for each other: on two cores
 * beside one busy process, two threads wrote 17 tokens/s and one thread 62; alone, 50 and 64 (2026-11-23,
 * SmolLM2-135M Q4_1). The gateway, encoders and everything else need the remaining core.
 */
export function defaultThreads(physicalCores: number, quotaCores: number): number {
  return Math.max(1, Math.floor(Math.min(physicalCores, quotaCores)) - 1)
}

/** Cores this process may use: its affinity, or a container's quota where that is less. */
export async function usableCores(quotaFile = '/sys/fs/cgroup/cpu.max'): Promise<number> {
  const quota = await readFile(quotaFile, 'utf8').then(parseCpuMax, () => Infinity)
  return Math.min(availableParallelism(), quota)
}

/** `200000 100000` is 2 cores, `max 100000` no limit (cgroup v2). */
export function parseCpuMax(text: string): number {
  const [quota, period] = text.trim().split(/\s+/u).map(Number)
  return quota && period && quota > 0 && period > 0 ? quota / period : Infinity
}
