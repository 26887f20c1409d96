import type { FileReport } from '../../src/learn/index.ts'

export function importInChild(
  dataDir: string,
  path: string,
): Promise<{ readonly report: FileReport; readonly seconds: number; readonly peakMb: number }>
