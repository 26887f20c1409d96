import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fixedClock } from '../util/index.ts'
import type { LocalGeneration } from '../wire/index.ts'
import { openLlamaEngine } from './llama.ts'
import type { GenerationEvent, TextEngine } from './llama-engine.ts'

const ask = (text: string): LocalGeneration => ({
  messages: [{ role: 'user', text }],
  temperature: null,
  topP: null,
  seed: null,
  maxTokens: null,
  stops: [],
  presencePenalty: 0,
  frequencyPenalty: 0,
  form: { kind: 'text' },
})

/** A process that speaks the protocol and does what the last message says; no llama.cpp is needed. */
const PROCESS = `
import { existsSync, writeFileSync } from 'node:fs'
process.on('disconnect', () => process.exit(0))
let waiting = null
process.on('message', message => {
  if (message.kind === 'open') {
    if (message.modelPath.includes('corrupt')) return process.send({ kind: 'failed', reason: 'model', message: 'bad tensor' })
    if (message.modelPath.includes('big')) return process.send({ kind: 'failed', reason: 'memory', message: '9 GB' })
    if (message.modelPath.includes('mute')) { console.error('no such library'); return process.exit(9) }
    if (message.modelPath.includes('hang')) return
    if (message.modelPath.includes('once')) {
      if (existsSync(message.modelPath + '.seen')) process.exit(8)
      writeFileSync(message.modelPath + '.seen', '')
    }
    process.send({ kind: 'loading', share: 0.5 })
    process.send({ kind: 'ready', contextSize: message.contextSize ?? 4096, threads: message.threads ?? 3 })
  } else if (message.kind === 'generate') {
    const { id, request } = message
    const text = request.messages[0].text
    const event = event => process.send({ kind: 'event', id, event })
    event({ kind: 'begin', promptTokens: 1 })
    if (text === 'die') process.kill(process.pid, 'SIGKILL')
    else if (text === 'wait') waiting = id
    else if (text === 'refuse') process.send({ kind: 'error', id, code: 'request-invalid', message: 'no' })
    else {
      event({ kind: 'text', text: process.env.UNDERSTUDY_LEAD_KEY ?? 'clean' })
      event({ kind: 'end', finish: 'stop', completionTokens: 1 })
      process.send({ kind: 'done', id })
    }
  } else if (waiting === message.id) {
    process.send({ kind: 'error', id: waiting, code: 'cancelled', message: 'left' })
  }
})
`

let folder: string
let opened: TextEngine[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-'))
  await writeFile(join(folder, 'process.mjs'), PROCESS)
})
afterEach(async () => {
  for (const engine of opened) await engine.close()
  opened = []
  await rm(folder, { recursive: true, force: true })
})

async function open(
  name = 'model.gguf',
  options: { clock?: ReturnType<typeof fixedClock>; signal?: AbortSignal; threads?: number } = {},
) {
  const modelPath = join(folder, name)
  await writeFile(modelPath, 'GGUFxxxx')
  const shares: number[] = []
  const engine = await openLlamaEngine({
    runtimeDir: folder,
    modelPath,
    entry: join(folder, 'process.mjs'),
    onLoading: share => shares.push(share),
    ...options,
  })
  opened.push(engine)
  return { engine, shares }
}

async function generate(engine: TextEngine, text: string, signal?: AbortSignal) {
  const events: GenerationEvent[] = []
  await engine.generate(
    ask(text),
    event => events.push(event),
    signal ?? new AbortController().signal,
  )
  return events
}

describe('openLlamaEngine', () => {
  it('reports loading, size and threads, and passes events on in order', async () => {
    const { engine, shares } = await open('model.gguf', { threads: 2 })
    expect(shares).toEqual([0.5])
    expect([engine.contextSize, engine.threads]).toEqual([4096, 2])
    expect((await generate(engine, 'hi')).map(({ kind }) => kind)).toEqual(['begin', 'text', 'end'])
  })

  it('keeps our keys from native code', async () => {
    process.env.UNDERSTUDY_LEAD_KEY = 'secret'
    try {
      const { engine } = await open()
      expect(await generate(engine, 'hi')).toContainEqual({ kind: 'text', text: 'clean' })
    } finally {
      delete process.env.UNDERSTUDY_LEAD_KEY
    }
  })

  it.each([
    ['missing.gguf', null],
    ['text.gguf', 'hello, this is no model'],
    ['empty.gguf', ''],
  ])('says model-corrupt for %s without starting anything', async (name, content) => {
    const modelPath = join(folder, name)
    if (content !== null) await writeFile(modelPath, content)
    const opening = openLlamaEngine({ runtimeDir: folder, modelPath, entry: '/nowhere.js' })
    await expect(opening).rejects.toMatchObject({
      code: 'model-corrupt',
      message: expect.stringContaining(name),
      help: expect.stringContaining('understudy models pull'),
    })
  })

  it.each([
    ['corrupt.gguf', 'model-corrupt', 'bad tensor'],
    ['big.gguf', 'model-unavailable', '9 GB'],
    ['mute.gguf', 'runtime-failed', 'no such library'],
  ])('explains why %s cannot be opened', async (name, code, said) => {
    await expect(open(name)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(said),
      help: expect.any(String),
    })
  })

  it('can be cancelled while it loads', async () => {
    const controller = new AbortController()
    const opening = open('hang.gguf', { signal: controller.signal })
    setTimeout(() => controller.abort(), 50)
    await expect(opening).rejects.toMatchObject({ code: 'cancelled' })
  })

  it('tells the process to stop when the caller leaves', async () => {
    const { engine } = await open()
    const controller = new AbortController()
    const running = engine.generate(ask('wait'), () => controller.abort(), controller.signal)
    await expect(running).rejects.toMatchObject({ code: 'cancelled' })
    await expect(generate(engine, 'hi', AbortSignal.abort())).rejects.toMatchObject({
      code: 'cancelled',
    })
    expect(await generate(engine, 'hi')).toHaveLength(3)
  })

  it('passes on a refusal', async () => {
    const { engine } = await open()
    await expect(generate(engine, 'refuse')).rejects.toMatchObject({ code: 'request-invalid' })
  })

  it('fails the request at work when the process dies, and starts it anew with the next', async () => {
    const { engine } = await open()
    await expect(generate(engine, 'die')).rejects.toMatchObject({
      code: 'upstream-unavailable',
      message: expect.stringContaining('SIGKILL'),
    })
    expect(await generate(engine, 'hi')).toHaveLength(3)
  })

  it('waits longer and longer before it starts a process that keeps dying', async () => {
    const clock = fixedClock()
    const { engine } = await open('model.gguf', { clock })
    const die = () => expect(generate(engine, 'die')).rejects
    await die().toMatchObject({ message: expect.stringContaining('SIGKILL') })
    await die().toMatchObject({ message: expect.stringContaining('SIGKILL') })
    await die().toMatchObject({ message: expect.stringContaining('2 times in a row') })
    clock.advance(1000)
    await die().toMatchObject({ message: expect.stringContaining('SIGKILL') })
    clock.advance(1000)
    await expect(generate(engine, 'hi')).rejects.toMatchObject({
      code: 'upstream-unavailable',
      details: { retryAfterSeconds: 1 },
    })
    clock.advance(1000)
    expect(await generate(engine, 'hi')).toHaveLength(3)
    await die().toMatchObject({ message: expect.stringContaining('SIGKILL') })
    expect(await generate(engine, 'hi')).toHaveLength(3)
  })

  it('counts a start that fails as a death', async () => {
    const clock = fixedClock()
    const { engine } = await open('once.gguf', { clock })
    await expect(generate(engine, 'die')).rejects.toMatchObject({ code: 'upstream-unavailable' })
    await expect(generate(engine, 'hi')).rejects.toMatchObject({ code: 'runtime-failed' })
    await expect(generate(engine, 'hi')).rejects.toMatchObject({ code: 'upstream-unavailable' })
  })

  it('is closed for good', async () => {
    const { engine } = await open()
    await engine.close()
    await expect(generate(engine, 'hi')).rejects.toMatchObject({ code: 'upstream-unavailable' })
  })
})
