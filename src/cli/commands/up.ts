/** `understudy up`: opens the data folder, listens, and ends in order. */
import { openUnderstudy } from '../../gateway/index.ts'
import { numberOption, textOption } from '../args.ts'
import type { Command, CommandInput, Terminal } from '../command.ts'
import { configOption, dataFolder, dataOption } from '../options.ts'
import { createProgress } from '../progress.ts'

export const upCommand: Command = {
  name: 'up',
  summary: 'Serve the API: specialists answer what they are certified for, the lead the rest.',
  options: [
    dataOption,
    {
      name: 'host',
      type: 'string',
      placeholder: 'H',
      help: 'Address to listen on (default: 127.0.0.1). Any other than loopback needs $UNDERSTUDY_KEY.',
    },
    {
      name: 'port',
      type: 'string',
      placeholder: 'N',
      help: 'Port to listen on (default: 8484); 0 picks a free one.',
    },
    {
      name: 'lead',
      type: 'string',
      placeholder: 'LEAD',
      help: 'URL of an OpenAI-compatible API (key from $UNDERSTUDY_LEAD_KEY), replay:FILE, or local:MODEL.',
    },
    {
      name: 'workers',
      type: 'string',
      placeholder: 'N',
      help: 'Processes that serve the port (default: 1).',
    },
    configOption,
  ],
  examples: [
    'understudy up --port 0',
    'understudy up --port 0 --lead replay:traffic.jsonl',
    'understudy up --port 0 --lead http://127.0.0.1:11434/v1',
  ],
  async run(input, terminal) {
    const understudy = await open(input, terminal)
    try {
      const listening = await understudy.listen()
      const reload = (): void => void understudy.reload()
      process.on('SIGHUP', reload)
      try {
        terminal.out(`understudy listens on ${listening.address}\n`)
        await aborted(terminal.signal)
      } finally {
        process.off('SIGHUP', reload)
        await listening.close()
      }
    } finally {
      await understudy.close()
    }
    return 0
  },
}

async function open(input: CommandInput, terminal: Terminal) {
  const lead = textOption(input, 'lead')
  const configFile = textOption(input, 'config')
  const host = textOption(input, 'host')
  const port = numberOption(input, 'port', { min: 0, max: 65_535, example: 8484 })
  const workers = numberOption(input, 'workers', { min: 1, max: 256 })
  const progress = createProgress(terminal)
  try {
    return await openUnderstudy({
      dataDir: dataFolder(input, terminal),
      env: terminal.env,
      signal: terminal.signal,
      onProgress: ({ stage, done, total, unit }) =>
        progress.update(stage, done, total, undefined, unit),
      writeLog: line => terminal.err(line),
      listen: {
        ...(host === undefined ? {} : { host }),
        ...(port === undefined ? {} : { port }),
      },
      ...(workers === undefined ? {} : { workers: Math.floor(workers) }),
      ...(configFile === undefined ? {} : { configFile }),
      ...(lead === undefined ? {} : { lead }),
    })
  } finally {
    progress.finish()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
