export {
  EXECUTION_PROVIDERS,
  type ExecutionProvider,
  resolveExecutionProvider,
} from './execution-provider.ts'
export { type HttpFile, openHttpFile } from './http-file.ts'
export { type LlamaEngineOptions, openLlamaEngine } from './llama.ts'
export type { GenerationEvent, TextEngine } from './llama-engine.ts'
export {
  ensureLlamaRuntime,
  inspectLlamaRuntime,
  type LlamaInstallOptions,
  type LlamaInstallProgress,
  type LlamaState,
  llamaRuntimeDir,
  removeLlamaRuntime,
} from './llama-install.ts'
export { LLAMA_VERSION } from './llama-platform.ts'
export { createLocalLead, type LocalLeadOptions } from './local-lead.ts'
export { type OpenLocalLeadOptions, openLocalLead } from './local-lead-open.ts'
export { ONNXRUNTIME_VERSION } from './onnx-binding.ts'
export type { SessionSettings } from './onnx-sessions.ts'
export {
  canTrain,
  type InProcessRuntime,
  openInProcessRuntime,
  openRuntimePool,
  type PoolOptions,
} from './onnxruntime.ts'
export { postJson } from './post-json.ts'
export { openRemoteLead, type RemoteLeadOptions } from './remote-lead.ts'
export { openReplayLead, type ReplayLeadOptions } from './replay-lead.ts'
export type * from './types.ts'
