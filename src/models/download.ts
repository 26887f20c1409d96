/** Makes a catalog model's files be there, verified. Knows the cache folder and the order of sources. */
import { rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { hasCode, UnderstudyError } from '../errors.ts'
import { makeFolder, sha256File } from '../platform/index.ts'
import {
  CATALOG,
  type CatalogEntry,
  type CatalogFile,
  catalogEntry,
  type ModelSource,
} from './catalog.ts'
import { withLock } from './download-lock.ts'
import { fetchFiles, partialPath, sourceName } from './sources.ts'

/** How far a download is. Bytes count what is fetched: the files, or the package that holds them. */
export interface DownloadProgress {
  readonly model: string
  /** Which source, for people. */
  readonly source: string
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface ModelOptions {
  /** Default: `UNDERSTUDY_MODELS`, else the user's cache folder. */
  readonly cacheDir?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly catalog?: readonly CatalogEntry[]
}

export interface EnsureOptions extends ModelOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: DownloadProgress) => void
  /** Never touches the network. Default: `UNDERSTUDY_OFFLINE=1`. */
  readonly offline?: boolean
  /** Folders that hold a model's files as `<folder>/<name>/<file>`. Default: `UNDERSTUDY_MODEL_SOURCES`. */
  readonly folders?: readonly string[]
}

export interface LocalModel {
  readonly name: string
  readonly dir: string
  /** Absolute path of each file, by its path in the catalog. */
  readonly files: Readonly<Record<string, string>>
}

export interface ModelListing {
  readonly entry: CatalogEntry
  readonly dir: string
  /** `partial`: some bytes are there; pulling again resumes. */
  readonly state: 'present' | 'partial' | 'absent'
  /** Bytes on disk. */
  readonly bytes: number
}

/** Where models are kept: `UNDERSTUDY_MODELS`, else `understudy/models` in the user's cache folder. */
export function modelsFolder(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { UNDERSTUDY_MODELS: own, XDG_CACHE_HOME: cache } = env
  if (own) return own
  return join(cache || join(homedir(), '.cache'), 'understudy', 'models')
}

/**
 * The model's files, fetched where they are missing or damaged. Sources are tried in order; partial
 * downloads resume; a file gets its name only after its SHA-256 was checked; several processes may call at once.
 * @throws not-found for an unknown name; model-unavailable with each source's reason; cancelled
 */
export async function ensureModel(name: string, options: EnsureOptions = {}): Promise<LocalModel> {
  const env = options.env ?? process.env
  const entry = catalogEntry(name, options.catalog)
  const dir = join(options.cacheDir ?? modelsFolder(env), name)
  if ((await missingFiles(entry, dir)).length > 0) {
    const sources = sourcesOf(entry, env, options)
    await withLock(`${dir}.lock`, options.signal, () => fetchMissing(entry, dir, sources, options))
  }
  const files = entry.files.map(file => [file.path, join(dir, file.path)] as const)
  return { name, dir, files: Object.fromEntries(files) }
}

/** Every model of the catalog and what is on disk, by size only: nothing is hashed. */
export async function listModels(options: ModelOptions = {}): Promise<ModelListing[]> {
  const folder = options.cacheDir ?? modelsFolder(options.env)
  return Promise.all(
    (options.catalog ?? CATALOG).map(async entry => {
      const dir = join(folder, entry.name)
      const sizes = await Promise.all(entry.files.map(file => bytesThere(dir, file)))
      const bytes = sizes.reduce((sum, { whole, part }) => sum + whole + part, 0)
      const isWhole = sizes.every(({ whole }, i) => whole === entry.files[i]?.bytes)
      return { entry, dir, bytes, state: isWhole ? 'present' : bytes > 0 ? 'partial' : 'absent' }
    }),
  )
}

/**
 * Removes a model's folder. False when there was none.
 * @throws not-found for an unknown name
 */
export async function removeModel(name: string, options: ModelOptions = {}): Promise<boolean> {
  const entry = catalogEntry(name, options.catalog)
  const dir = join(options.cacheDir ?? modelsFolder(options.env), entry.name)
  const isThere = (await stat(dir).catch(() => null)) !== null
  await rm(dir, { recursive: true, force: true })
  return isThere
}

function sourcesOf(
  entry: CatalogEntry,
  env: Readonly<Record<string, string | undefined>>,
  options: EnsureOptions,
): readonly ModelSource[] {
  const { UNDERSTUDY_MODEL_SOURCES: listed = '', UNDERSTUDY_OFFLINE: offlineWish = '' } = env
  const folders = options.folders ?? listed.split(delimiter).filter(one => one !== '')
  const local: ModelSource[] = folders.map(folder => ({
    kind: 'folder',
    path: join(folder, entry.name),
  }))
  const isOffline = options.offline ?? ['1', 'true', 'yes'].includes(offlineWish.toLowerCase())
  return isOffline ? local : [...local, ...entry.sources]
}

async function fetchMissing(
  entry: CatalogEntry,
  dir: string,
  sources: readonly ModelSource[],
  { signal, onProgress, env = process.env }: EnsureOptions,
): Promise<void> {
  await makeFolder(dir)
  const reasons: string[] = []
  // Asked again under the lock: another process may have just fetched them.
  let missing = await missingFiles(entry, dir)
  for (const source of sources) {
    if (missing.length === 0) return
    try {
      await fetchFiles(source, missing, {
        folder: dir,
        env,
        huggingFace: (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/u, ''),
        signal,
        onBytes: (doneBytes, totalBytes) =>
          onProgress?.({ model: entry.name, source: sourceName(source), doneBytes, totalBytes }),
        accept: file => acceptFile(dir, file),
      })
    } catch (error) {
      if (hasCode(error, 'cancelled')) throw error
      reasons.push(`${sourceName(source)}: ${error instanceof Error ? error.message : error}`)
    }
    missing = await missingFiles(entry, dir)
  }
  if (missing.length > 0) throw unavailable(entry, dir, sources, reasons)
}

/** Gives the partial file its name if it is the one that the catalog means; else removes it. */
async function acceptFile(dir: string, file: CatalogFile): Promise<void> {
  const part = partialPath(dir, file)
  const found = await sha256File(part)
  if (found !== file.sha256) {
    await rm(part, { force: true })
    throw new Error(`${file.path} has SHA-256 ${found}, the catalog asks for ${file.sha256}`)
  }
  await rename(part, join(dir, file.path))
}

/** Files that are absent or are not the catalog's bytes. */
async function missingFiles(entry: CatalogEntry, dir: string): Promise<CatalogFile[]> {
  const missing: CatalogFile[] = []
  for (const file of entry.files) {
    const { whole } = await bytesThere(dir, file)
    const isRight = whole === file.bytes && (await sha256File(join(dir, file.path))) === file.sha256
    if (!isRight) missing.push(file)
  }
  return missing
}

async function bytesThere(
  dir: string,
  file: CatalogFile,
): Promise<{ whole: number; part: number }> {
  const size = async (path: string) => (await stat(path).catch(() => ({ size: 0 }))).size
  return { whole: await size(join(dir, file.path)), part: await size(partialPath(dir, file)) }
}

function unavailable(
  entry: CatalogEntry,
  dir: string,
  sources: readonly ModelSource[],
  reasons: readonly string[],
): UnderstudyError {
  const isOffline = !sources.some(source => source.kind !== 'folder')
  const why = isOffline ? ['offline', ...reasons] : reasons
  return new UnderstudyError(
    'model-unavailable',
    `The model ${entry.name} cannot be had: ${why.join('; ')}`,
    {
      help: `Run understudy models pull ${entry.name} where there is a network, or copy its files (${entry.files
        .map(file => file.path)
        .join(', ')}) into ${dir}.`,
      details: { reasons },
    },
  )
}
