import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { UnderstudyError } from '../errors.ts'
import type { Command } from './command.ts'
import type { CommandEntry } from './commands/index.ts'
import { main } from './main.ts'
import { recordingTerminal } from './testing.ts'

function entry(command: Partial<Command> & { name: string }): CommandEntry {
  const full: Command = {
    summary: 'Does something.',
    options: [],
    examples: [`understudy ${command.name}`],
    run: async () => 0,
    ...command,
  }
  return { name: full.name, summary: full.summary, load: async () => full }
}

const greet = entry({
  name: 'greet',
  positionals: { placeholder: 'NAME…', help: 'whom to greet', min: 1, max: 2 },
  options: [
    { name: 'loud', type: 'boolean', help: 'Shout.' },
    { name: 'times', type: 'string', placeholder: 'N', help: 'How often.', default: '1' },
    { name: 'tag', type: 'string[]', help: 'A tag.' },
  ],
  run: async (input, terminal) => {
    terminal.out(JSON.stringify(input))
    return 3
  },
})
const table = [greet, entry({ name: 'models list' }), entry({ name: 'models pull' })]

async function run(...argv: string[]) {
  const terminal = recordingTerminal()
  const code = await main(argv, terminal, table)
  return { code, ...terminal.written() }
}

describe('main', () => {
  it('hands a command its words and returns its exit code', async () => {
    const { code, out } = await run('greet', 'Ada', '--loud', '--tag', 'a', '--tag=b')
    expect(code).toBe(3)
    expect(JSON.parse(out)).toEqual({
      positionals: ['Ada'],
      options: { loud: true, times: '1', tag: ['a', 'b'] },
    })
  })

  it('suggests the nearest command and the nearest option', async () => {
    expect(await run('gret', 'Ada')).toEqual({
      code: 2,
      out: '',
      err: "There is no command 'gret'.\n- help: did you mean `understudy greet`?\n",
    })
    const option = await run('greet', 'Ada', '--load')
    expect(option.err).toBe(
      'understudy greet has no option --load.\n- help: did you mean --loud?\n',
    )
    const longer = await run('greet', 'Ada', '--loudness')
    expect(longer.err).toContain('did you mean --loud?')
    expect((await run('models', 'pul')).err).toContain('did you mean `understudy models pull`?')
  })

  it.each([
    [['--confidence-level', '1'], '--confidence-level 0.9.'],
    [['--target-risk', '5'], '--target-risk 0.05.'],
    [['--output', 'x'], 'did you mean --out?'],
    [['--data', fileURLToPath(import.meta.url)], 'main.test.ts is a file'],
  ])('suggests what compress may be told instead of %j', async (words, help) => {
    const terminal = recordingTerminal()
    expect(await main(['compress', 'rows.csv', ...words], terminal)).toBe(2)
    expect(terminal.written().err).toContain(help)
  })

  it.each([
    [['greet'], 'understudy greet needs NAME…: whom to greet'],
    [['greet', 'a', 'b', 'c'], "does not know what to do with 'c'"],
    [['greet', 'a', '--times'], '--times needs a value.'],
    [['greet', 'a', '--times', '--loud'], "--times needs a value, and got '--loud'."],
    [['greet', 'a', '--loud=yes'], "--loud takes no value, and got 'yes'."],
    [['greet', 'a', '--__proto__', 'x'], 'has no option --__proto__'],
    [['greet', 'a', '-x'], 'has no option -x'],
    [['qqqqqqqq'], "There is no command 'qqqqqqqq'."],
  ])('refuses %j with what was wrong and what to do', async (argv, message) => {
    const { code, err } = await run(...argv)
    expect(code).toBe(2)
    expect(err).toContain(message)
    expect(err).toMatch(/\n- help: .+\n$/)
  })

  it('accepts negative numbers and words after -- as values', async () => {
    const { out } = await run('greet', '--times', '-2', '--', '--help')
    expect(JSON.parse(out)).toMatchObject({ positionals: ['--help'], options: { times: '-2' } })
  })

  it.each([
    [['--help'], 'greet'],
    [[], 'greet'],
    [['help'], 'greet'],
    [['help', 'greet'], 'Usage: understudy greet NAME… [options]'],
    [['greet', '-h'], '--times N'],
    [['greet', '--help'], 'understudy greet'],
    [['models', '--help'], 'models pull'],
    [['models', 'pull', '--help'], 'Usage: understudy models pull'],
  ])('shows help for %j on standard output', async (argv, text) => {
    const { code, out, err } = await run(...argv)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toContain(text)
  })

  it('shows the commands of a bare group, and fails so that scripts notice', async () => {
    const { code, out } = await run('models')
    expect(code).toBe(2)
    expect(out).toContain('models list')
    expect(out).not.toContain('greet')
  })

  it('prints the version', async () => {
    expect((await run('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('renders a foreseen error as two lines with the exit code of the table', async () => {
    const failing = entry({
      name: 'fail',
      run: async () => {
        throw new UnderstudyError('data-folder-busy', 'The folder is busy.', { help: 'wait.' })
      },
    })
    const terminal = recordingTerminal()
    expect(await main(['fail'], terminal, [failing])).toBe(1)
    expect(terminal.written().err).toBe('The folder is busy.\n- help: wait.\n')
  })

  it('names the way to a stack for an unforeseen error, and shows it in debug mode', async () => {
    const failing = entry({
      name: 'fail',
      run: async () => {
        throw new Error('surprise', { cause: new Error('deep reason') })
      },
    })
    const plain = recordingTerminal()
    expect(await main(['fail'], plain, [failing])).toBe(70)
    expect(plain.written().err).toContain('surprise\n- help:')
    expect(plain.written().err).not.toContain('deep reason')
    const debug = recordingTerminal({ env: { UNDERSTUDY_DEBUG: '1' } })
    await main(['fail'], debug, [failing])
    expect(debug.written().err).toContain('deep reason')
    expect(debug.written().err).toContain('main.test.ts')
  })

  it('says that it stopped when the work ended because of Ctrl-C', async () => {
    const terminal = recordingTerminal()
    const waiting = entry({
      name: 'wait',
      run: async (_input, { signal }) => {
        terminal.abort()
        signal.throwIfAborted()
        return 0
      },
    })
    expect(await main(['wait'], terminal, [waiting])).toBe(130)
    expect(terminal.written().err).toBe('Stopped.\n')
  })
})
