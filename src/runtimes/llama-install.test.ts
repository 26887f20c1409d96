import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  ensureLlamaRuntime,
  inspectLlamaRuntime,
  llamaRuntimeDir,
  removeLlamaRuntime,
} from './llama-install.ts'
import { type CommandRun, npmEnvironment, type RunCommand, runCommand } from './llama-npm.ts'
import { LLAMA_VERSION } from './llama-platform.ts'

const here = { platform: 'linux', arch: 'x64' } as const
const native = '@node-llama-cpp/linux-x64'

let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'understudy-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

/** An npm that writes two small packages, and a Node whose probe ends as told. */
function scriptedRun({
  npmExit = 0,
  probeExit = 0,
  tail = '',
  code = 'native',
} = {}): RunCommand & {
  readonly calls: CommandRun[]
} {
  const calls: CommandRun[] = []
  const run: RunCommand = async call => {
    calls.push(call)
    if (call.command === 'node') return { exitCode: probeExit, tail: probeExit === 0 ? '' : tail }
    const put = async (name: string, file: string, text: string): Promise<void> => {
      await mkdir(join(call.cwd, 'node_modules', name), { recursive: true })
      await writeFile(join(call.cwd, 'node_modules', name, file), text)
    }
    await put('node-llama-cpp', 'package.json', '{}')
    if (npmExit !== 0) return { exitCode: npmExit, tail }
    await put(native, 'addon.node', code)
    for (const line of ['npm http fetch GET 200 x://h/a/-/a-1.tgz 3ms', 'npm http cache b@b-2.tgz'])
      call.onLine?.(line)
    return { exitCode: 0, tail: '' }
  }
  return Object.assign(run, { calls })
}

describe('ensureLlamaRuntime', () => {
  it('installs pinned versions without optional packages and without scripts, then nothing more', async () => {
    const run = scriptedRun()
    const counts: number[] = []
    const first = await ensureLlamaRuntime({
      dataDir,
      run,
      ...here,
      onProgress: ({ doneCount }) => counts.push(doneCount),
    })
    expect(first).toEqual({ dir: llamaRuntimeDir(dataDir), wasInstalled: true })
    expect(run.calls.map(call => call.command)).toEqual(['npm', 'node'])
    expect(run.calls[0]?.args).toEqual(
      expect.arrayContaining([
        'install',
        '--omit=optional',
        '--ignore-scripts',
        `node-llama-cpp@${LLAMA_VERSION}`,
        `${native}@${LLAMA_VERSION}`,
      ]),
    )
    expect(run.calls[0]?.args.join(' ')).not.toContain('registry')
    expect(counts).toEqual([0, 1, 2, 2])
    expect(await inspectLlamaRuntime(dataDir, here)).toMatchObject({ kind: 'ready' })

    expect((await ensureLlamaRuntime({ dataDir, run, ...here })).wasInstalled).toBe(false)
    expect(run.calls).toHaveLength(2)
  })

  it('leaves nothing behind when npm fails, and says what npm said', async () => {
    const run = scriptedRun({
      npmExit: 1,
      tail: 'npm http fetch GET 404 x\nnpm error code E404\nnpm error not found\n',
    })
    await expect(ensureLlamaRuntime({ dataDir, run, ...here })).rejects.toMatchObject({
      code: 'runtime-missing',
      message: expect.stringMatching(/E404 npm error not found/),
      help: expect.stringContaining('registry'),
    })
    expect(await readdir(join(dataDir, 'runtimes'))).toEqual([])
    expect(await inspectLlamaRuntime(dataDir, here)).toEqual({ kind: 'absent' })
  })

  it('does not put a runtime in place that does not load here', async () => {
    const run = scriptedRun({ probeExit: 1, tail: 'GLIBC_2.34 not found' })
    await expect(ensureLlamaRuntime({ dataDir, run, ...here })).rejects.toMatchObject({
      code: 'runtime-failed',
      message: expect.stringContaining('GLIBC_2.34'),
    })
    expect(await readdir(join(dataDir, 'runtimes'))).toEqual([])
  })

  it.each([
    ['half an install', async (dir: string) => rm(join(dir, 'understudy-runtime.json'))],
    ['a missing file', async (dir: string) => rm(join(dir, 'node_modules', native, 'addon.node'))],
    [
      'a truncated file',
      async (dir: string) => writeFile(join(dir, 'node_modules', native, 'addon.node'), 'nat'),
    ],
    ['a garbled mark', async (dir: string) => writeFile(join(dir, 'understudy-runtime.json'), '{')],
    [
      'another version',
      async (dir: string) =>
        writeFile(
          join(dir, 'understudy-runtime.json'),
          JSON.stringify({ version: '1.0.0', package: native, files: {} }),
        ),
    ],
  ])('detects and repairs %s', async (_name, damage) => {
    const run = scriptedRun()
    await ensureLlamaRuntime({ dataDir, run, ...here })
    await damage(llamaRuntimeDir(dataDir))
    expect((await inspectLlamaRuntime(dataDir, here)).kind).toBe('broken')
    await expect(
      ensureLlamaRuntime({ dataDir, run, ...here, offline: true }),
    ).rejects.toMatchObject({ code: 'runtime-missing', message: expect.stringContaining('broken') })
    await ensureLlamaRuntime({ dataDir, run, ...here })
    expect(await inspectLlamaRuntime(dataDir, here)).toMatchObject({ kind: 'ready' })
    expect(await readdir(join(dataDir, 'runtimes'))).toEqual(['llama'])
  })

  it('notices a data folder that came from another kind of machine', async () => {
    await ensureLlamaRuntime({ dataDir, run: scriptedRun(), ...here })
    const state = await inspectLlamaRuntime(dataDir, { platform: 'darwin', arch: 'arm64' })
    expect(state).toEqual({ kind: 'broken', reason: expect.stringContaining('mac-arm64-metal') })
  })

  it('with verify, loads what is there and installs again where that fails', async () => {
    await ensureLlamaRuntime({ dataDir, run: scriptedRun(), ...here })
    const good = scriptedRun()
    await ensureLlamaRuntime({ dataDir, run: good, ...here, verify: true })
    expect(good.calls.map(call => call.command)).toEqual(['node'])
    let probes = 0
    const calls: string[] = []
    const mended = scriptedRun({ code: 'mended' })
    const run: RunCommand = async call => {
      calls.push(call.command)
      if (call.command === 'node' && probes++ === 0) return { exitCode: 1, tail: 'broken' }
      return mended(call)
    }
    // The files look whole, so that only the probe knows; a new copy takes their place.
    const result = await ensureLlamaRuntime({ dataDir, run, ...here, verify: true })
    expect(calls).toEqual(['node', 'npm', 'node'])
    expect(result.wasInstalled).toBe(true)
    const addon = join(result.dir, 'node_modules', native, 'addon.node')
    expect(await readFile(addon, 'utf8')).toBe('mended')
  })

  it('fetches nothing when offline, and says how to go on', async () => {
    const run = scriptedRun()
    await expect(
      ensureLlamaRuntime({ dataDir, run, ...here, offline: true }),
    ).rejects.toMatchObject({
      code: 'runtime-missing',
      message: expect.stringContaining('not installed'),
      help: expect.stringContaining('understudy runtime add llama'),
    })
    process.env.UNDERSTUDY_OFFLINE = '1'
    try {
      await expect(ensureLlamaRuntime({ dataDir, run, ...here })).rejects.toMatchObject({
        code: 'runtime-missing',
      })
    } finally {
      delete process.env.UNDERSTUDY_OFFLINE
    }
    expect(run.calls).toEqual([])
  })

  it('lets two installs at once end in one whole runtime', async () => {
    const [a, b] = [scriptedRun(), scriptedRun()]
    await Promise.all([
      ensureLlamaRuntime({ dataDir, run: a, ...here }),
      ensureLlamaRuntime({ dataDir, run: b, ...here }),
    ])
    expect(await inspectLlamaRuntime(dataDir, here)).toMatchObject({ kind: 'ready' })
    expect(await readdir(join(dataDir, 'runtimes'))).toEqual(['llama'])
  })

  it('removes leftovers of killed installs, but not those of a live one', async () => {
    const runtimes = join(dataDir, 'runtimes')
    await mkdir(join(runtimes, '.llama-old'), { recursive: true })
    await mkdir(join(runtimes, '.llama-live'))
    await utimes(join(runtimes, '.llama-old'), 0, 0)
    await ensureLlamaRuntime({ dataDir, run: scriptedRun(), ...here })
    expect((await readdir(runtimes)).sort()).toEqual(['.llama-live', 'llama'])
  })

  it('names the platform it has nothing for', async () => {
    await expect(
      ensureLlamaRuntime({ dataDir, run: scriptedRun(), platform: 'aix', arch: 'ppc64' }),
    ).rejects.toMatchObject({ code: 'runtime-missing', message: expect.stringContaining('aix') })
  })

  it('says so where the data folder cannot be written', async () => {
    const file = join(dataDir, 'file')
    await writeFile(file, '')
    await expect(
      ensureLlamaRuntime({ dataDir: file, run: scriptedRun(), ...here }),
    ).rejects.toMatchObject({ code: 'runtime-missing', help: expect.stringContaining('writable') })
  })
})

describe('removeLlamaRuntime', () => {
  it('removes it whole, and says when there was none', async () => {
    await ensureLlamaRuntime({ dataDir, run: scriptedRun(), ...here })
    expect(await removeLlamaRuntime(dataDir)).toBe(true)
    expect(existsSync(llamaRuntimeDir(dataDir))).toBe(false)
    expect(await removeLlamaRuntime(dataDir)).toBe(false)
  })
})

describe('runCommand', () => {
  it('reports exit code, output and lines', async () => {
    const lines: string[] = []
    const result = await runCommand({
      command: 'node',
      args: ['-e', 'console.error("one\\ntwo"); process.exit(3)'],
      cwd: dataDir,
      onLine: line => lines.push(line),
    })
    expect(result).toEqual({ exitCode: 3, tail: 'one\ntwo\n' })
    expect(lines).toEqual(['one', 'two'])
  })

  it('ends the command when cancelled', async () => {
    const controller = new AbortController()
    const running = runCommand({
      command: 'node',
      args: ['-e', 'console.error("up"); setInterval(() => {}, 1000)'],
      cwd: dataDir,
      signal: controller.signal,
      onLine: () => controller.abort(),
    })
    await expect(running).rejects.toMatchObject({ code: 'cancelled' })
  })

  it('finds npm', async () => {
    const result = await runCommand({ command: 'npm', args: ['--version'], cwd: dataDir })
    expect(result).toEqual({ exitCode: 0, tail: expect.stringMatching(/^\d+\.\d+/) })
  })

  it('passes on the registry, but not what an outer npm says of its own project', () => {
    const env = npmEnvironment({
      PATH: '/bin',
      npm_config_registry: 'x://registry',
      npm_config_local_prefix: '/app',
      npm_config_omit: 'dev',
      npm_package_name: 'app',
      UNDERSTUDY_LEAD_KEY: 'secret',
      DATABASE_URL: 'secret',
    })
    expect(env).toEqual({ PATH: '/bin', npm_config_registry: 'x://registry' })
  })
})
