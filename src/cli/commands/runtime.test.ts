import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LLAMA_VERSION, llamaRuntimeDir } from '../../runtimes/index.ts'
import { main } from '../main.ts'
import { recordingTerminal } from '../testing.ts'

let data: string

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'understudy-'))
})
afterEach(() => rm(data, { recursive: true, force: true }))

async function run(...argv: string[]) {
  const terminal = recordingTerminal()
  const code = await main([...argv, '--data', data], terminal)
  return { code, ...terminal.written() }
}

describe('understudy runtime', () => {
  it('lists what is not there, with how to get it', async () => {
    const { code, out } = await run('runtime', 'list')
    expect(code).toBe(0)
    expect(out).toContain(LLAMA_VERSION)
    expect(out).toContain('understudy runtime add llama')
  })

  it('tells a broken runtime from none, for machines too', async () => {
    await mkdir(llamaRuntimeDir(data), { recursive: true })
    expect((await run('runtime', 'list')).out).toContain('broken: the installation was not')
    const { out } = await run('runtime', 'list', '--json')
    expect(JSON.parse(out)).toEqual([
      expect.objectContaining({ name: 'llama', kind: 'broken', dir: llamaRuntimeDir(data) }),
    ])
  })

  it('removes what is there, and does not mind where nothing is', async () => {
    await mkdir(llamaRuntimeDir(data), { recursive: true })
    expect((await run('runtime', 'remove', 'llama')).out).toBe('llama removed\n')
    expect(await readdir(join(data, 'runtimes'))).toEqual([])
    expect((await run('runtime', 'remove', 'llama')).out).toBe('llama was not installed\n')
  })

  it('fetches nothing when offline', async () => {
    const { code, err } = await run('runtime', 'add', 'llama', '--offline')
    expect(code).toBe(1)
    expect(err).toContain('not installed')
    expect(await readdir(data)).toEqual([])
  })

  it('knows only its own names', async () => {
    const { code, err } = await run('runtime', 'add', 'cuda')
    expect(code).toBe(2)
    expect(err).toContain("'cuda'")
  })
})
