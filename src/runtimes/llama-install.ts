/** Installs the llama.cpp runtime into the data folder, whole or not at all. Knows no model. */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { builtModule } from '../platform/index.ts'
import { randomHex, systemClock } from '../util/index.ts'
import { type RunCommand, runCommand } from './llama-npm.ts'
import { LLAMA_VERSION, platformPackage } from './llama-platform.ts'

export interface LlamaInstallOptions {
  readonly dataDir: string
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: LlamaInstallProgress) => void
  /** Never reach for the network: an error where the runtime is not there yet. Default: `UNDERSTUDY_OFFLINE=1`. */
  readonly offline?: boolean
  /** Also load the native part of what is there, and install again where that fails. */
  readonly verify?: boolean
  /** For tests. */
  readonly run?: RunCommand
  readonly platform?: string
  readonly arch?: string
}

export interface LlamaInstallProgress {
  readonly stage: 'install' | 'check'
  /** Packages that came so far, from the registry or npm's cache. */
  readonly doneCount: number
}

/** What is there. `broken` says why. */
export type LlamaState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'broken'; readonly reason: string }
  | { readonly kind: 'ready'; readonly version: string; readonly bytes: number }

/** Written last, so that its presence means that everything before it is there. */
const MARK = 'understudy-runtime.json'

interface Mark {
  readonly version: string
  readonly package: string
  /** Native files by their path, with their size in bytes: an antivirus or a full disk takes these first. */
  readonly files: Readonly<Record<string, number>>
  readonly bytes: number
}

/** Leftovers of killed installs are removed after this long; a slow live install is younger. */
const STALE_MS = 3_600_000

/** Where the runtime of a data folder is. */
export function llamaRuntimeDir(dataDir: string): string {
  return join(dataDir, 'runtimes', 'llama')
}

/** Looks whether the runtime is there and whole, without loading it. */
export async function inspectLlamaRuntime(
  dataDir: string,
  {
    platform = process.platform,
    arch = process.arch,
  }: { readonly platform?: string; readonly arch?: string } = {},
): Promise<LlamaState> {
  const dir = llamaRuntimeDir(dataDir)
  if ((await sizeOf(dir)) === null) return { kind: 'absent' }
  const mark = await readMark(dir)
  if (mark === null) return { kind: 'broken', reason: 'the installation was not finished' }
  if (mark.version !== LLAMA_VERSION) {
    return { kind: 'broken', reason: `version ${mark.version} instead of ${LLAMA_VERSION}` }
  }
  const wanted = platformPackage(platform, arch)
  if (mark.package !== wanted) {
    return { kind: 'broken', reason: `${mark.package} instead of ${wanted}` }
  }
  for (const [file, bytes] of Object.entries(mark.files)) {
    if ((await sizeOf(join(dir, file))) !== bytes) {
      return { kind: 'broken', reason: `${file} is missing or has another size` }
    }
  }
  return { kind: 'ready', version: mark.version, bytes: mark.bytes }
}

/**
 * Makes sure that the runtime is there: installs it where it is absent, again where it is broken. Two processes may do
 * so at once; the first to finish wins.
 * @throws runtime-missing when offline, without npm, on unknown platforms, or where npm fails; runtime-failed where the
 * native code does not load; cancelled
 */
export async function ensureLlamaRuntime(
  options: LlamaInstallOptions,
): Promise<{ readonly dir: string; readonly wasInstalled: boolean }> {
  const { dataDir, signal, run = runCommand, verify = false } = options
  const dir = llamaRuntimeDir(dataDir)
  const state = await inspectLlamaRuntime(dataDir, options)
  if (state.kind === 'ready') {
    if (!verify) return { dir, wasInstalled: false }
    options.onProgress?.({ stage: 'check', doneCount: 0 })
    const fault = await probe(dir, run, signal)
    if (fault === null) return { dir, wasInstalled: false }
  }
  if (options.offline ?? isOfflineWished()) throw offlineError(dir, state)
  await removeStale(join(dataDir, 'runtimes'))
  const temporary = join(dataDir, 'runtimes', `.llama-${randomHex(6)}`)
  await makeFolder(temporary)
  try {
    await install(temporary, options, run)
    // What looks whole but does not load would otherwise count as somebody else's good work.
    if (state.kind === 'ready') await removeLlamaRuntime(dataDir)
    await putInPlace(temporary, dir, () => inspectLlamaRuntime(dataDir, options))
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  return { dir, wasInstalled: true }
}

/**
 * Removes the runtime, whole or half.
 * @returns false where there was none
 */
export async function removeLlamaRuntime(dataDir: string): Promise<boolean> {
  const dir = llamaRuntimeDir(dataDir)
  const trash = join(dataDir, 'runtimes', `.llama-${randomHex(6)}`)
  try {
    await rename(dir, trash)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  await rm(trash, { recursive: true, force: true })
  return true
}

async function install(
  folder: string,
  { signal, onProgress, platform = process.platform, arch = process.arch }: LlamaInstallOptions,
  run: RunCommand,
): Promise<void> {
  const native = platformPackage(platform, arch)
  const packages = [`node-llama-cpp@${LLAMA_VERSION}`, `${native}@${LLAMA_VERSION}`]
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n')
  const seen = new Set<string>()
  onProgress?.({ stage: 'install', doneCount: 0 })
  const { exitCode, tail } = await run({
    command: 'npm',
    // The package's own optional dependencies are 600 MB of GPU builds; its scripts would compile llama.cpp.
    args: [
      'install',
      ...['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'],
      ...['--no-update-notifier', '--loglevel=http', '--prefix', folder],
      ...packages,
    ],
    cwd: folder,
    signal,
    onLine(line) {
      const file = /npm http (?:fetch GET 200|cache) .*?([^/\s]+\.tgz)/u.exec(line)?.[1]
      if (file === undefined || seen.has(file)) return
      seen.add(file)
      onProgress?.({ stage: 'install', doneCount: seen.size })
    },
  })
  if (exitCode !== 0) throw npmError(exitCode, tail)
  onProgress?.({ stage: 'check', doneCount: seen.size })
  const fault = await probe(folder, run, signal)
  if (fault !== null) throw fault
  await writeFile(join(folder, MARK), `${JSON.stringify(await markOf(folder, native), null, 2)}\n`)
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (cause) {
    throw new UnderstudyError('runtime-missing', `${folder} cannot be made.`, {
      help: 'Check that the data folder is writable, or choose another with --data.',
      cause,
    })
  }
}

/** Loads the native code in a process of its own; null where it works. */
async function probe(
  dir: string,
  run: RunCommand,
  signal: AbortSignal | undefined,
): Promise<UnderstudyError | null> {
  const script = builtModule(import.meta.url, './llama-probe')
  const { exitCode, tail } = await run({ command: 'node', args: [script, dir], cwd: dir, signal })
  if (exitCode === 0) return null
  return new UnderstudyError(
    'runtime-failed',
    `llama.cpp does not load on this machine: ${lastLines(tail)}`,
    { help: 'Use a lead behind a URL instead, or a Node and system that its build supports.' },
  )
}

async function markOf(folder: string, native: string): Promise<Mark> {
  const root = join(folder, 'node_modules', native)
  const files: Record<string, number> = {}
  const listed = await readdir(root, { recursive: true, withFileTypes: true })
  for (const entry of listed.filter(item => item.isFile())) {
    const path = join(entry.parentPath, entry.name)
    files[path.slice(folder.length + 1)] = (await stat(path)).size
  }
  const entry = join('node_modules', 'node-llama-cpp', 'package.json')
  files[entry] = (await stat(join(folder, entry))).size
  return { version: LLAMA_VERSION, package: native, files, bytes: await folderBytes(folder) }
}

async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = entries
    .filter(entry => entry.isFile())
    .map(async entry => (await stat(join(entry.parentPath, entry.name))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

/** A rename is whole or not at all. Where somebody else was faster and did it well, theirs stays. */
async function putInPlace(
  temporary: string,
  dir: string,
  inspect: () => Promise<LlamaState>,
): Promise<void> {
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      await rename(temporary, dir)
      return
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'EPERM') throw error
    }
    if ((await inspect()).kind === 'ready') return
    const trash = `${temporary}-old`
    // Gone already where the other process does the same.
    await rename(dir, trash).catch(() => {})
    await rm(trash, { recursive: true, force: true })
  }
  throw new UnderstudyError('runtime-missing', `${dir} cannot be replaced.`, {
    help: 'Close other programs that use it, remove the folder, and try again.',
  })
}

async function removeStale(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter(item => item.startsWith('.llama-'))) {
    const path = join(folder, name)
    const info = await stat(path).catch(() => null)
    if (info !== null && systemClock.now() - info.mtimeMs > STALE_MS) {
      await rm(path, { recursive: true, force: true })
    }
  }
}

async function readMark(dir: string): Promise<Mark | null> {
  try {
    const mark = JSON.parse(await readFile(join(dir, MARK), 'utf8')) as Partial<Mark> | null
    const isWhole =
      typeof mark?.version === 'string' &&
      typeof mark.package === 'string' &&
      typeof mark.files === 'object' &&
      mark.files !== null
    return isWhole ? ({ bytes: 0, ...mark } as Mark) : null
  } catch {
    return null
  }
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    info => info.size,
    () => null,
  )
}

function isOfflineWished(): boolean {
  return ['1', 'true', 'yes'].includes((process.env.UNDERSTUDY_OFFLINE ?? '').toLowerCase())
}

function offlineError(dir: string, state: LlamaState): UnderstudyError {
  const fault = state.kind === 'broken' ? `broken (${state.reason})` : 'not usable there'
  const what = state.kind === 'absent' ? 'not installed' : fault
  return new UnderstudyError(
    'runtime-missing',
    `llama.cpp is ${what}, and offline nothing is fetched.`,
    {
      help: `Run \`understudy runtime add llama\` once with a network, or copy ${dir} from a machine of the same kind.`,
    },
  )
}

function npmError(exitCode: number, tail: string): UnderstudyError {
  return new UnderstudyError(
    'runtime-missing',
    `npm could not install llama.cpp (exit code ${exitCode}): ${lastLines(tail)}`,
    { help: 'Check the network and the registry in npm’s settings, then try again.' },
  )
}

/** npm's own words without its request log. */
function lastLines(tail: string): string {
  const lines = tail.split('\n').filter(line => line.trim() !== '' && !line.includes(' http '))
  return lines.slice(-4).join(' ').slice(-600)
}
