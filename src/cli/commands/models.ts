/** `understudy models list | pull | remove`. Knows the terminal; models/ knows where models come from. */
import { ensureModel, listModels, type ModelListing, removeModel } from '../../models/index.ts'
import type { Command, CommandInput, CommandOption, Terminal } from '../command.ts'
import { createProgress } from '../progress.ts'
import { renderTable } from '../table.ts'

const json: CommandOption = {
  name: 'json',
  type: 'boolean',
  help: 'Print one JSON document instead of text.',
}

export const modelsListCommand: Command = {
  name: 'models list',
  summary: 'List the models of the catalog and which are on this machine.',
  options: [json],
  examples: ['understudy models list', 'understudy models list --json'],
  async run({ options }, terminal) {
    const listings = await listModels({ env: terminal.env })
    terminal.out(options.json ? asJson(listings.map(listingJson)) : listingTable(listings))
    return 0
  },
}

export const modelsPullCommand: Command = {
  name: 'models pull',
  summary: 'Fetch models; what is there already is checked, what broke off is resumed.',
  positionals: { placeholder: 'NAME', help: 'Models of the catalog.', min: 1, max: 16 },
  options: [
    { name: 'offline', type: 'boolean', help: 'Only check; never touch the network.' },
    json,
  ],
  examples: ['understudy models pull all-minilm-l6-v2'],
  async run({ positionals, options }, terminal) {
    const pulled = []
    for (const name of positionals) pulled.push(await pull(name, options, terminal))
    terminal.out(
      options.json
        ? asJson(pulled)
        : pulled.map(({ name, dir }) => `${name} is ready in ${dir}\n`).join(''),
    )
    return 0
  },
}

export const modelsRemoveCommand: Command = {
  name: 'models remove',
  summary: 'Remove models from this machine.',
  positionals: { placeholder: 'NAME', help: 'Models of the catalog.', min: 1, max: 16 },
  options: [json],
  examples: ['understudy models remove smollm2-135m'],
  async run({ positionals, options }, terminal) {
    const removed: { name: string; removed: boolean }[] = []
    for (const name of positionals) {
      removed.push({ name, removed: await removeModel(name, { env: terminal.env }) })
    }
    const sentence = (one: (typeof removed)[number]) =>
      one.removed ? `${one.name} is removed\n` : `${one.name} was not here\n`
    terminal.out(options.json ? asJson(removed) : removed.map(sentence).join(''))
    return 0
  },
}

export const modelCommands: readonly Command[] = [
  modelsListCommand,
  modelsPullCommand,
  modelsRemoveCommand,
]

async function pull(name: string, options: CommandInput['options'], terminal: Terminal) {
  const progress = createProgress(terminal)
  try {
    return await ensureModel(name, {
      env: terminal.env,
      signal: terminal.signal,
      ...(options.offline ? { offline: true } : {}),
      onProgress: ({ doneBytes, totalBytes, source }) =>
        progress.update(name, doneBytes, totalBytes, source, 'bytes'),
    })
  } finally {
    progress.finish()
  }
}

function listingTable(listings: readonly ModelListing[]): string {
  return renderTable(
    [
      { title: 'model' },
      { title: 'state' },
      { title: 'MB', align: 'right' },
      { title: 'licence' },
      { title: 'what' },
    ],
    listings.map(({ entry, state }) => [
      entry.name,
      state,
      (totalBytes(entry.files) / 1e6).toFixed(0),
      entry.licence,
      entry.summary,
    ]),
  )
}

function listingJson({ entry, dir, state, bytes }: ModelListing) {
  const { name, kind, licence, files } = entry
  return { name, kind, licence, state, bytes: totalBytes(files), bytesHere: bytes, dir }
}

function totalBytes(files: ModelListing['entry']['files']): number {
  return files.reduce((sum, file) => sum + file.bytes, 0)
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
