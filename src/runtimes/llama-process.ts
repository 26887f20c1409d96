/**
 * The one process that owns llama.cpp: a model, a context, all threads. A process and not a thread of the gateway,
 * because a native abort or the out-of-memory killer must cost one answer, not the gateway. Knows no HTTP.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isUnderstudyError } from '../errors.ts'
import { computeLayer, type LlamaModule } from './llama-binding.ts'
import type { FromLlama, OpenParameters, ToLlama } from './llama-messages.ts'
import { defaultThreads, usableCores } from './llama-threads.ts'
import { createLlamaWriter, type LlamaWriter, PROMPT_STEP } from './llama-writer.ts'

const DEFAULT_CONTEXT_SIZE = 4096

let writer: LlamaWriter | null = null
const aborts = new Map<number, AbortController>()

function send(message: FromLlama): void {
  // The channel is closed only while the gateway goes away, and then nobody listens.
  if (process.connected) process.send?.(message)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function open(parameters: OpenParameters): Promise<void> {
  let module: LlamaModule
  try {
    const require = createRequire(join(parameters.runtimeDir, 'package.json'))
    const entry = pathToFileURL(require.resolve('node-llama-cpp')).href
    module = (await import(entry)) as LlamaModule
    writer = await openModel(module, parameters)
  } catch (error) {
    if (error instanceof OpenError) {
      send({ kind: 'failed', reason: error.reason, message: error.message })
    } else {
      send({ kind: 'failed', reason: 'runtime', message: messageOf(error) })
    }
  }
}

class OpenError extends Error {
  readonly reason: 'model' | 'memory'

  constructor(reason: 'model' | 'memory', cause: unknown) {
    super(messageOf(cause), { cause })
    this.reason = reason
  }
}

async function openModel(
  module: LlamaModule,
  { modelPath, threads: asked, contextSize }: OpenParameters,
): Promise<LlamaWriter> {
  const cores = await usableCores()
  const llama = await module.getLlama({
    gpu: computeLayer(process.platform, process.arch),
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: 'error',
    maxThreads: Math.max(cores, asked ?? 1),
  })
  const threads = asked ?? defaultThreads(llama.cpuMathCores, cores)
  try {
    const model = await llama.loadModel({
      modelPath,
      onLoadProgress: share => send({ kind: 'loading', share }),
    })
    const context = await model.createContext({
      contextSize: contextSize ?? Math.min(model.trainContextSize, DEFAULT_CONTEXT_SIZE),
      batchSize: PROMPT_STEP,
      threads,
    })
    const opened = createLlamaWriter({ module, llama, model, context })
    send({ kind: 'ready', contextSize: context.contextSize, threads })
    return opened
  } catch (error) {
    throw new OpenError(error instanceof module.InsufficientMemoryError ? 'memory' : 'model', error)
  }
}

async function generate({ id, request }: Extract<ToLlama, { kind: 'generate' }>): Promise<void> {
  const controller = new AbortController()
  aborts.set(id, controller)
  try {
    if (writer === null) throw new Error('The model is not open.')
    await writer.write(request, event => send({ kind: 'event', id, event }), controller.signal)
    send({ kind: 'done', id })
  } catch (error) {
    const known = isUnderstudyError(error) ? error.code : 'runtime-failed'
    const code = known === 'cancelled' || known === 'request-invalid' ? known : 'runtime-failed'
    send({ kind: 'error', id, code, message: messageOf(error) })
  } finally {
    aborts.delete(id)
  }
}

process.on('message', (message: ToLlama) => {
  if (message.kind === 'open') void open(message)
  else if (message.kind === 'generate') void generate(message)
  else aborts.get(message.id)?.abort()
})
// The gateway is gone, however it went; without this the process would live on and hold the memory.
process.on('disconnect', () => process.exit(0))
// Ctrl-C and service managers signal the whole group: the gateway drains first, and then ends this process.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
