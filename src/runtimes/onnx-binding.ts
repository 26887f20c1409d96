/** ONNX Runtime's native module, loaded when it is first needed. */
import type * as Ort from 'onnxruntime-node'
import { UnderstudyError } from '../errors.ts'

/** The version the project is built and measured with; a test compares it with package.json. */
export const ONNXRUNTIME_VERSION = '1.30.0'

/**
 * Loads the native module only when a graph is needed: everything else works without it.
 * @throws runtime-missing
 */
export async function importOnnxRuntime(): Promise<typeof Ort> {
  try {
    return await import('onnxruntime-node')
  } catch (cause) {
    throw new UnderstudyError(
      'runtime-missing',
      `ONNX Runtime cannot be loaded on ${process.platform}-${process.arch}: ${firstLine(cause)}`,
      {
        help: `Run npm install --ignore-scripts onnxruntime-node@${ONNXRUNTIME_VERSION}; it has builds for linux x64 and arm64, darwin arm64, and win32 x64 and arm64.`,
        cause,
      },
    )
  }
}

/** What is worth showing of an error of the binding. */
export function firstLine(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)[0] as string
}
