/** `understudy runtime …`: native runtimes that are installed into the data folder when wanted. */
import { UnderstudyError } from '../../errors.ts'
import {
  ensureLlamaRuntime,
  inspectLlamaRuntime,
  LLAMA_VERSION,
  type LlamaState,
  llamaRuntimeDir,
  removeLlamaRuntime,
} from '../../runtimes/index.ts'
import type { Command, CommandInput } from '../command.ts'
import { dataFolder, dataOption, jsonOption } from '../options.ts'
import { createProgress } from '../progress.ts'

const runtimeName = {
  placeholder: 'NAME',
  help: 'The runtime: llama (llama.cpp, for GGUF models).',
  min: 1,
  max: 1,
} as const

const add: Command = {
  name: 'runtime add',
  summary: 'Install a native runtime into the data folder, or check and repair it.',
  positionals: runtimeName,
  options: [
    dataOption,
    { name: 'offline', type: 'boolean', help: 'Fetch nothing: only check what is there.' },
  ],
  examples: ['understudy runtime add llama'],
  async run(input, terminal) {
    checkName(input)
    const progress = createProgress(terminal)
    const dataDir = dataFolder(input, terminal)
    const { dir, wasInstalled } = await ensureLlamaRuntime({
      dataDir,
      signal: terminal.signal,
      ...(input.options.offline === true ? { offline: true } : {}),
      verify: true,
      onProgress: ({ stage, doneCount }) => {
        if (stage === 'install') progress.update('install', doneCount, 0, 'packages')
        else progress.update('check', 0, 0, 'loading the native code')
      },
    })
    progress.finish()
    const verb = wasInstalled ? 'installed in' : 'is in order in'
    terminal.out(`llama ${LLAMA_VERSION} ${verb} ${dir}\n`)
    return 0
  },
}

const list: Command = {
  name: 'runtime list',
  summary: 'Show the native runtimes and whether they are installed.',
  options: [dataOption, jsonOption],
  examples: ['understudy runtime list', 'understudy runtime list --json'],
  async run(input, terminal) {
    const dataDir = dataFolder(input, terminal)
    const state = await inspectLlamaRuntime(dataDir)
    const row = { name: 'llama', version: LLAMA_VERSION, dir: llamaRuntimeDir(dataDir), ...state }
    terminal.out(
      input.options.json === true
        ? `${JSON.stringify([row], null, 2)}\n`
        : `llama  ${LLAMA_VERSION}  ${stateText(state)}\n`,
    )
    return 0
  },
}

const remove: Command = {
  name: 'runtime remove',
  summary: 'Remove a native runtime from the data folder.',
  positionals: runtimeName,
  options: [dataOption],
  examples: ['understudy runtime remove llama'],
  async run(input, terminal) {
    checkName(input)
    const wasThere = await removeLlamaRuntime(dataFolder(input, terminal))
    terminal.out(wasThere ? 'llama removed\n' : 'llama was not installed\n')
    return 0
  },
}

/** Commands of the group `runtime`. */
export const runtimeCommands: readonly Command[] = [add, list, remove]

function checkName({ positionals }: CommandInput): void {
  if (positionals[0] === 'llama') return
  throw new UnderstudyError('usage-invalid', `There is no runtime '${positionals[0]}'.`, {
    help: 'Use llama. (ONNX Runtime is part of Understudy and needs no installation.)',
  })
}

function stateText(state: LlamaState): string {
  switch (state.kind) {
    case 'ready':
      return `installed, ${(state.bytes / 1e6).toFixed(0)} MB`
    case 'broken':
      return `broken: ${state.reason}; repair with \`understudy runtime add llama\``
    case 'absent':
      return 'not installed; install with `understudy runtime add llama`'
  }
}
