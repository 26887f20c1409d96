/** A llama.cpp process seen from outside: started, asked, watched, ended. Knows no queue and no restart. */
import { type ChildProcess, fork } from 'node:child_process'
import { UnderstudyError } from '../errors.ts'
import type { LocalGeneration } from '../wire/index.ts'
import type { GenerationEvent } from './llama-engine.ts'
import type { FromLlama, OpenFailure, OpenParameters, ToLlama } from './llama-messages.ts'

export interface LlamaChild {
  readonly contextSize: number
  readonly threads: number
  readonly isAlive: boolean
  generate(
    request: LocalGeneration,
    onEvent: (event: GenerationEvent) => void,
    signal: AbortSignal,
  ): Promise<void>
  close(): Promise<void>
}

export interface ChildOptions extends OpenParameters {
  /** Built module to run. */
  readonly entry: string
  readonly signal?: AbortSignal | undefined
  readonly onLoading?: ((share: number) => void) | undefined
}

const STDERR_TAIL_LENGTH = 2000
const CLOSE_TIMEOUT_MS = 2000

interface Pending {
  onEvent(event: GenerationEvent): void
  resolve(): void
  reject(error: unknown): void
}

/**
 * Starts a process and opens the model in it.
 * @throws model-corrupt, model-unavailable (too little memory), runtime-failed, cancelled
 */
export async function startLlamaChild(options: ChildOptions): Promise<LlamaChild> {
  const { entry, signal, onLoading, runtimeDir, modelPath, threads, contextSize } = options
  const child = fork(entry, {
    execArgv: [],
    env: childEnvironment(process.env),
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const tail = keepTail(child)
  const pending = new Map<number, Pending>()
  let nextId = 1
  let isAlive = true

  const gone = new Promise<string>(resolve => {
    const end = (how: string): void => {
      if (!isAlive) return
      isAlive = false
      resolve(how)
      for (const { reject } of pending.values()) reject(died(how, tail()))
      pending.clear()
    }
    child.once('exit', (code, killedBy) => end(killedBy ?? `exit code ${code}`))
    child.once('error', error => end(error.message))
  })
  const tell = (message: ToLlama): void => {
    // A failure to send means that the process is ending, which `gone` reports.
    if (child.connected) child.send(message, () => {})
  }
  const close = async (): Promise<void> => {
    if (!isAlive) return
    if (child.connected) child.disconnect()
    const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_TIMEOUT_MS)
    await gone
    clearTimeout(timer)
  }

  const opened = await openModel(
    child,
    { gone, tail, signal, onLoading },
    { runtimeDir, modelPath, threads, contextSize },
  ).catch(async (error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })
  child.on('message', (message: FromLlama) => {
    if (!('id' in message)) return
    const job = pending.get(message.id)
    if (job === undefined) return
    if (message.kind === 'event') return job.onEvent(message.event)
    pending.delete(message.id)
    if (message.kind === 'done') job.resolve()
    else job.reject(new UnderstudyError(message.code, message.message))
  })

  return {
    ...opened,
    get isAlive() {
      return isAlive
    },
    async generate(request, onEvent, abort) {
      if (abort.aborted) throw new UnderstudyError('cancelled', 'The caller left.')
      if (!isAlive) throw died('it was not running', tail())
      const id = nextId++
      const onAbort = (): void => tell({ kind: 'abort', id })
      abort.addEventListener('abort', onAbort, { once: true })
      try {
        await new Promise<void>((resolve, reject) => {
          pending.set(id, { onEvent, resolve, reject })
          tell({ kind: 'generate', id, request })
        })
      } finally {
        abort.removeEventListener('abort', onAbort)
      }
    },
    close,
  }
}

interface Watch {
  readonly gone: Promise<string>
  tail(): string
  readonly signal: AbortSignal | undefined
  readonly onLoading: ((share: number) => void) | undefined
}

function openModel(
  child: ChildProcess,
  { gone, tail, signal, onLoading }: Watch,
  parameters: OpenParameters,
): Promise<{ contextSize: number; threads: number }> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new UnderstudyError('cancelled', 'Loading was cancelled.'))
    if (signal?.aborted) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    const listen = (message: FromLlama): void => {
      if (message.kind === 'loading') {
        onLoading?.(message.share)
        return
      }
      child.off('message', listen)
      signal?.removeEventListener('abort', onAbort)
      if (message.kind === 'ready') {
        resolve({ contextSize: message.contextSize, threads: message.threads })
      } else if (message.kind === 'failed') {
        reject(openFailure(message.reason, message.message, parameters.modelPath))
      }
    }
    child.on('message', listen)
    gone.then(how => reject(openFailure('runtime', `${how} ${tail()}`, parameters.modelPath)))
    child.send({ kind: 'open', ...parameters } satisfies ToLlama, error => {
      if (error) reject(openFailure('runtime', error.message, parameters.modelPath))
    })
  })
}

function openFailure(reason: OpenFailure, message: string, modelPath: string): UnderstudyError {
  const said = message.trim().slice(-500)
  if (reason === 'model') {
    return new UnderstudyError('model-corrupt', `llama.cpp refuses ${modelPath}: ${said}`, {
      help: 'Remove the file and fetch the model again.',
    })
  }
  if (reason === 'memory') {
    return new UnderstudyError('model-unavailable', `${modelPath} needs more memory: ${said}`, {
      help: 'Use a smaller model or a smaller context.',
    })
  }
  return new UnderstudyError('runtime-failed', `llama.cpp did not start: ${said}`, {
    help: 'Run `understudy runtime add llama` to check and repair it; if it goes on, fetch the model again.',
  })
}

function died(how: string, tail: string): UnderstudyError {
  return new UnderstudyError(
    'upstream-unavailable',
    `The local model's process ended while it was needed (${how}).`,
    {
      help: 'Ask again: it is started anew with the next request.',
      details: { stderr: tail },
    },
  )
}

function keepTail(child: ChildProcess): () => string {
  let tail = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-STDERR_TAIL_LENGTH)
  })
  return () => tail
}

/** Without our own settings, among them keys that native code has no business to see. */
export function childEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name]) => !name.startsWith('UNDERSTUDY_') && name !== 'DATABASE_URL',
    ),
  )
}
