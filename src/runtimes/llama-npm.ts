/** Runs npm, or any other command, and says what it said. Knows nothing of what is installed. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { childEnvironment } from './llama-child.ts'

export interface CommandRun {
  readonly command: 'npm' | 'node'
  readonly args: readonly string[]
  readonly cwd: string
  readonly signal?: AbortSignal | undefined
  /** Each line of standard error, as it comes. */
  readonly onLine?: (line: string) => void
}

export interface CommandResult {
  readonly exitCode: number
  /** The last lines of output, for an error message. */
  readonly tail: string
}

/**
 * Starts a command and waits for its end.
 * @throws cancelled when the signal fires; runtime-missing where the command does not exist
 */
export type RunCommand = (run: CommandRun) => Promise<CommandResult>

const TAIL_LENGTH = 4000

/** Runs the command for real, as a child process. */
export const runCommand: RunCommand = ({ command, args, cwd, signal, onLine }) => {
  const [file, ...before] = command === 'node' ? [process.execPath] : npmCommand()
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled())
    const child = spawn(file as string, [...before, ...args], {
      cwd,
      env: npmEnvironment(process.env),
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    })
    const onAbort = (): void => {
      child.kill()
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    let tail = ''
    let rest = ''
    const keep = (text: string): void => {
      tail = (tail + text).slice(-TAIL_LENGTH)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      keep(text)
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine?.(line)
    })
    child.once('error', cause => {
      signal?.removeEventListener('abort', onAbort)
      reject(notStarted(command, cause))
    })
    child.once('close', code => {
      signal?.removeEventListener('abort', onAbort)
      if (signal?.aborted) reject(cancelled())
      else resolve({ exitCode: code ?? 1, tail })
    })
  })
}

/** The npm that came with this Node, run without a shell; else the one on the path. */
function npmCommand(): readonly string[] {
  const bin = dirname(process.execPath)
  const candidates = [
    process.env.npm_execpath,
    join(bin, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(bin, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ]
  const found = candidates.find(path => path?.endsWith('npm-cli.js') && existsSync(path))
  return found === undefined ? ['npm'] : [process.execPath, found]
}

/** What an outer `npm run` or `npx` says about its own project must not reach the inner npm; the registry must. */
export function npmEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own =
    /^npm_(package_|lifecycle_|command$|config_(global|prefix|local_prefix|omit|include|workspaces?|dry_run|save|package_lock)$)/iu
  return Object.fromEntries(
    Object.entries(childEnvironment(env)).filter(([name]) => !own.test(name)),
  )
}

function cancelled(): UnderstudyError {
  return new UnderstudyError('cancelled', 'Installing was cancelled.')
}

function notStarted(command: string, cause: Error): UnderstudyError {
  return new UnderstudyError('runtime-missing', `${command} cannot be run: ${cause.message}`, {
    help: `Install ${command === 'npm' ? 'npm (it comes with Node)' : 'Node'} and try again.`,
    cause,
  })
}
