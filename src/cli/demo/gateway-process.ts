/** Runs `understudy up` as its own process, as an operator would, so that it shares no event loop with its clients. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { UnderstudyError } from '../../errors.ts'

/** From `src/cli/demo` and `dist/cli/demo` alike. */
const EXECUTABLE = fileURLToPath(new URL('../../../bin/understudy.js', import.meta.url))
const READY = /listens on \S+/

export interface GatewayProcess {
  /** Asks it to drain, and waits for its end. */
  stop(): Promise<void>
}

/**
 * Starts the gateway on a free port of loopback and waits until it listens.
 * @throws job-failed with what it wrote, where it ended instead
 */
export async function startGateway(
  dataDir: string,
  lead: string,
  signal: AbortSignal,
): Promise<GatewayProcess> {
  const child = spawn(
    process.execPath,
    [EXECUTABLE, 'up', '--data', dataDir, '--port', '0', '--lead', lead],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const ended = once(child, 'exit')
  const kill = (): void => void child.kill('SIGTERM')
  signal.addEventListener('abort', kill, { once: true })
  const stop = async (): Promise<void> => {
    signal.removeEventListener('abort', kill)
    child.kill('SIGTERM')
    await ended
  }
  try {
    await listening(child)
    return { stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function listening(child: ChildProcess): Promise<void> {
  let out = ''
  let err = ''
  return new Promise((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (READY.test(out)) resolve()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      err = (err + text).slice(-2000)
    })
    child.on('error', reject)
    child.on('exit', code =>
      reject(
        new UnderstudyError('job-failed', `The gateway ended with code ${code}: ${err.trim()}`, {
          help: 'Run `understudy up` on the data folder to see more.',
        }),
      ),
    )
  })
}
