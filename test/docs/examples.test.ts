import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commandTable } from '../../src/cli/commands/index.ts'
import { main } from '../../src/cli/main.ts'
import { recordingTerminal } from '../../src/cli/testing.ts'
import { toyFiles } from '../../src/models/__fixtures__/toy-bert.ts'

/** Examples that a test cannot run, with the reason; everything else must end with exit code 0. */
const NOT_RUN: Readonly<Record<string, string>> = {
  'understudy runtime add llama': 'installs 30 MB from the network',
  'understudy models pull all-minilm-l6-v2': 'fetches 90 MB from the network',
  'understudy train labelled.csv --output my-model': 'needs the encoder of 90 MB',
  'understudy compress tickets.csv --model tickets-model --held-out new-tickets.csv':
    'needs a model of train; src/learn/compress-tuned.test.ts has one',
}

const commands = await Promise.all(commandTable.map(entry => entry.load()))
const home = process.cwd()
let folder: string
let traceId = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-examples-'))
  await writeFile(join(folder, 'traffic.jsonl'), traffic())
  await writeFile(join(folder, 'labelled.csv'), labelled())
  const encoder = toyFiles()
  await mkdir(join(folder, 'my-encoder'))
  await writeFile(join(folder, 'my-encoder', 'model.safetensors'), encoder.weights)
  await writeFile(join(folder, 'my-encoder', 'config.json'), encoder.config)
  await writeFile(join(folder, 'my-encoder', 'tokenizer.json'), encoder.tokenizer)
  process.chdir(folder)
  const { err } = (await run('understudy import traffic.jsonl')).written
  expect(err).not.toContain('help:')
  traceId = await anyTraceId()
}, 120_000)
afterAll(async () => {
  process.chdir(home)
  await rm(folder, { recursive: true, force: true })
})

function exchange(i: number): string {
  const isCard = i % 2 === 0
  const text = isCard ? `my card number ${i} is lost` : `what is the rate of account ${i}`
  return JSON.stringify({
    id: `line-${i}`,
    request: {
      model: 'm',
      messages: [
        { role: 'system', content: 'Sort.' },
        { role: 'user', content: text },
      ],
    },
    response: {
      choices: [
        {
          message: { role: 'assistant', content: isCard ? 'card' : 'rate' },
          finish_reason: 'stop',
        },
      ],
    },
  })
}

function traffic(): string {
  return Array.from({ length: 120 }, (_, i) => exchange(i)).join('\n')
}

function labelled(): string {
  return ['text,label', ...Array.from({ length: 60 }, (_, i) => `text number ${i},${i % 3}`)].join(
    '\n',
  )
}

/** Runs one example as written; whatever serves is stopped as soon as it is ready. */
async function run(example: string) {
  const words = example.split(' ').slice(1)
  const terminal = openTerminal()
  const gateway = words[0] === 'top' ? await startGateway() : null
  const done = main(words, terminal)
  if (words[0] === 'up') {
    await untilServing(terminal, done)
    terminal.abort()
  }
  const code = await done
  await gateway?.stop()
  return { code, written: terminal.written() }
}

const openTerminal = () =>
  recordingTerminal({
    env: {
      UNDERSTUDY_DATA: join(folder, 'data'),
      // Without models, so that every machine does the same: the reflex alone.
      UNDERSTUDY_MODELS: join(folder, 'models'),
      UNDERSTUDY_OFFLINE: '1',
    },
  })

/** A gateway for commands that look at one. */
async function startGateway() {
  const terminal = openTerminal()
  const done = main(['up', '--port', '0'], terminal)
  await untilServing(terminal, done)
  return {
    async stop() {
      terminal.abort()
      await done
    },
  }
}

async function untilServing(
  terminal: ReturnType<typeof openTerminal>,
  done: Promise<unknown>,
): Promise<void> {
  while (!terminal.written().out.includes('http://')) {
    const ended = await Promise.race([done, new Promise(resolve => setTimeout(resolve, 20))])
    if (ended !== undefined) break
  }
}

async function anyTraceId(): Promise<string> {
  const { openWorkspace } = await import('../../src/workspace/index.ts')
  const { describeTrace } = await import('../../src/tasks/index.ts')
  const workspace = await openWorkspace({ dataDir: join(folder, 'data'), describe: describeTrace })
  try {
    await workspace.settle()
    const [task] = await workspace.store.tasks()
    for await (const [trace] of workspace.store.tracesOfTask(task?.task.id ?? ''))
      return trace?.id ?? ''
    return ''
  } finally {
    await workspace.close()
  }
}

/** Compressing takes its three minutes of training, and measures besides: five on a slow machine with other work. */
const TIMEOUT_MS = 600_000

describe('the example', () => {
  for (const example of commands.flatMap(command => command.examples)) {
    it(`${example} works as written`, { timeout: TIMEOUT_MS }, async context => {
      const reason = NOT_RUN[example]
      if (reason !== undefined) context.skip(reason)
      // Ids stand for one that the reader has; any other word is taken as it is.
      const { code, written } = await run(example.replace(/\b(dec_\w+|ID)\b/, traceId))
      expect(code, written.err).toBe(0)
      expect(written.err).not.toContain('- help:')
    })
  }

  it('that a job folder gives for reading its result is taken as it is', async () => {
    await run('understudy train labelled.csv --base my-encoder --on torch --output a-job')
    process.chdir('a-job')
    try {
      const [example = ''] = /^understudy .*$/m.exec(await readFile('README.md', 'utf8')) ?? []
      // Nothing has trained, so all that may be wrong is that there is no result.
      expect((await run(example)).written.err).toContain('result is missing')
    } finally {
      process.chdir(folder)
    }
  }, 120_000)

  it('is given for everything that is not run here', () => {
    const examples = commands.flatMap(command => command.examples)
    expect(Object.keys(NOT_RUN).filter(example => !examples.includes(example))).toEqual([])
  })
})
