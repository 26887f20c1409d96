/** Fetches a wheel through pip, whatever index pip is configured for. Knows no index and no model. */
import { spawn } from 'node:child_process'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'

export interface WheelRequest {
  readonly name: string
  readonly version: string
  /** An empty folder of its own: holds the wheel afterwards, and pip's temporary files before. */
  readonly folder: string
  /** pip's environment: it finds its index there, and `PATH` finds Python. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
  /** Called twice a second with the bytes on disk so far. */
  onBytes(bytes: number): void
}

const PYTHONS = process.platform === 'win32' ? ['python', 'py'] : ['python3', 'python']
const POLL_MS = 500

/**
 * The path of the wheel.
 * @throws cancelled; Error with pip's last line otherwise
 */
export async function fetchWheel(request: WheelRequest): Promise<string> {
  const { name, version, folder } = request
  const temporary = join(folder, 'tmp')
  const target = join(folder, 'wheel')
  await mkdir(temporary, { recursive: true })
  const args = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--no-cache-dir']
  args.push('--disable-pip-version-check', '--no-input', '-q', '-d', target, `${name}==${version}`)
  const poll = setInterval(() => {
    largestFile(folder).then(request.onBytes, () => {})
  }, POLL_MS)
  try {
    // pip's own temporary files lie here, so that they are on the same disk and removed with it.
    await runPip(args, { ...request.env, TMPDIR: temporary }, request.signal)
  } finally {
    clearInterval(poll)
  }
  const wheel = (await readdir(target)).find(file => file.endsWith('.whl'))
  if (wheel === undefined) throw new Error('pip left no wheel')
  return join(target, wheel)
}

async function runPip(
  args: string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const python of PYTHONS) {
    const outcome = await runOnce(python, args, env, signal)
    if (signal?.aborted) throw new UnderstudyError('cancelled', 'The download was cancelled')
    if (outcome === 'ok') return
    if (outcome !== 'no such command') throw new Error(outcome)
  }
  throw new Error(`there is no ${PYTHONS.join(' or ')} here`)
}

function runOnce(
  python: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<string> {
  return new Promise(resolve => {
    const child = spawn(python, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env,
      ...(signal ? { signal } : {}),
    })
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => {
      errors = `${errors}${chunk}`.slice(-4000)
    })
    child.on('error', error => {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      resolve(isMissing ? 'no such command' : error.message)
    })
    child.on('close', code => resolve(code === 0 ? 'ok' : lastError(errors, code)))
  })
}

/** pip says first what is wrong, then what else it thinks: the last line that says ERROR tells most. */
function lastError(output: string, code: number | null): string {
  const lines = output.trim().split('\n')
  return (
    lines.findLast(line => line.startsWith('ERROR')) ?? lines.at(-1) ?? `pip ended with ${code}`
  )
}

async function largestFile(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = await Promise.all(
    entries
      .filter(entry => entry.isFile())
      .map(entry => stat(join(entry.parentPath, entry.name)).then(({ size }) => size)),
  )
  return Math.max(0, ...sizes)
}
