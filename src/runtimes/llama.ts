/** llama.cpp as a `TextEngine`: one process at a time, started anew when it died. Knows no queue and no HTTP. */
import { open } from 'node:fs/promises'
import { UnderstudyError } from '../errors.ts'
import { builtModule } from '../platform/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { type ChildOptions, type LlamaChild, startLlamaChild } from './llama-child.ts'
import type { TextEngine } from './llama-engine.ts'

export interface LlamaEngineOptions {
  /** Folder that `ensureLlamaRuntime` made. */
  readonly runtimeDir: string
  readonly modelPath: string
  /** Default: one physical core fewer than there are. llama.cpp's threads busy-wait. */
  readonly threads?: number
  /** Tokens of prompt and answer together. Default: the model's own, at most 4096. */
  readonly contextSize?: number
  readonly signal?: AbortSignal
  /** Share of the model that is loaded, in [0, 1]. */
  readonly onLoading?: (share: number) => void
  readonly clock?: Clock
  /** Built module of the process; tests put another in its place. */
  readonly entry?: string
}

const FIRST_BACKOFF_MS = 1000
const MAX_BACKOFF_MS = 30_000

/**
 * Loads a GGUF file in a process of its own. If that dies, the request at work fails, and the next one starts it
 * anew: at once after the first death, after 1, 2, 4 … 30 s when it keeps dying; in between, requests fail at once.
 * @throws model-corrupt where the file is missing or no GGUF; model-unavailable; runtime-failed; cancelled
 */
export async function openLlamaEngine(options: LlamaEngineOptions): Promise<TextEngine> {
  await checkGguf(options.modelPath)
  const clock = options.clock ?? systemClock
  const parameters: ChildOptions = {
    entry: options.entry ?? builtModule(import.meta.url, './llama-process'),
    runtimeDir: options.runtimeDir,
    modelPath: options.modelPath,
    threads: options.threads ?? null,
    contextSize: options.contextSize ?? null,
  }
  let child = await startLlamaChild({
    ...parameters,
    signal: options.signal,
    onLoading: options.onLoading,
  })
  let starting: Promise<LlamaChild> | null = null
  let deathCount = 0
  let notBeforeMs = 0
  let isClosed = false

  const noteDeath = (): void => {
    const waitMs = deathCount === 0 ? 0 : FIRST_BACKOFF_MS * 2 ** (deathCount - 1)
    deathCount++
    notBeforeMs = clock.monotonic() + Math.min(waitMs, MAX_BACKOFF_MS)
  }
  const living = async (): Promise<LlamaChild> => {
    if (isClosed) throw new UnderstudyError('upstream-unavailable', 'The local model is closed.')
    if (child.isAlive) return child
    const waitMs = notBeforeMs - clock.monotonic()
    if (waitMs > 0) throw resting(deathCount, waitMs)
    starting ??= startLlamaChild(parameters).finally(() => {
      starting = null
    })
    try {
      child = await starting
    } catch (error) {
      noteDeath()
      throw error
    }
    if (isClosed) await child.close()
    return child
  }

  return {
    contextSize: child.contextSize,
    threads: child.threads,
    async generate(request, onEvent, signal) {
      const current = await living()
      try {
        await current.generate(request, onEvent, signal)
        deathCount = 0
      } catch (error) {
        if (!current.isAlive && !isClosed) noteDeath()
        throw error
      }
    },
    async close() {
      isClosed = true
      await child.close()
      await starting?.then(
        late => late.close(),
        () => {},
      )
    },
  }
}

function resting(deathCount: number, waitMs: number): UnderstudyError {
  return new UnderstudyError(
    'upstream-unavailable',
    `The local model's process died ${deathCount} times in a row.`,
    {
      help: `Ask again in ${Math.ceil(waitMs / 1000)} s, when it is started anew.`,
      details: { retryAfterSeconds: Math.ceil(waitMs / 1000) },
    },
  )
}

/**
 * Tells a file that is plainly no GGUF apart, in a millisecond and without the runtime.
 * @throws model-corrupt
 */
export async function checkGguf(path: string): Promise<void> {
  const magic = Buffer.alloc(4)
  try {
    const file = await open(path, 'r')
    try {
      await file.read(magic, 0, 4, 0)
    } finally {
      await file.close()
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new UnderstudyError('model-corrupt', `${path} cannot be read (${code}).`, {
      help: 'Check the path, or fetch the model again with `understudy models pull NAME`.',
      cause,
    })
  }
  if (magic.toString('latin1') !== 'GGUF') {
    throw new UnderstudyError('model-corrupt', `${path} is not a GGUF file.`, {
      help: 'Remove the file and fetch the model again with `understudy models pull NAME`.',
    })
  }
}
