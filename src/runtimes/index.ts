export { ONNXRUNTIME_VERSION, type SessionSettings } from './onnx-sessions.ts'
export { openInProcessRuntime, openRuntimePool, type PoolOptions } from './onnxruntime.ts'
export type * from './types.ts'
