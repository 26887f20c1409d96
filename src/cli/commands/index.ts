/**
 * All commands by name, each loaded only when it runs or shows its help, so that `understudy --version` stays quick.
 * Summaries are repeated here for the same reason; a test compares them with the commands' own.
 */
import { assert } from '../../errors.ts'
import type { Command } from '../command.ts'

export interface CommandEntry {
  readonly name: string
  readonly summary: string
  load(): Promise<Command>
}

/** One command of a module that exports several. */
function from(
  name: string,
  load: () => Promise<readonly Command[]>,
): Pick<CommandEntry, 'name' | 'load'> {
  return {
    name,
    async load() {
      const command = (await load()).find(item => item.name === name)
      assert(command !== undefined, `its module has no command '${name}'`)
      return command
    },
  }
}

const models = async () => (await import('./models.ts')).modelCommands
const ledger = async () => (await import('./ledger.ts')).ledgerCommands
const config = async () => (await import('./config.ts')).configCommands
const key = async () => (await import('./key.ts')).keyCommands
const runtime = async () => (await import('./runtime.ts')).runtimeCommands

/** In the order of `understudy --help`. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: 'demo',
    summary: 'Learn from a generated day at a support desk, then serve the next one.',
    load: async () => (await import('./demo.ts')).demoCommand,
  },
  {
    name: 'up',
    summary: 'Serve the API: specialists answer what they are certified for, the lead the rest.',
    load: async () => (await import('./up.ts')).upCommand,
  },
  {
    name: 'top',
    summary: 'Show what a running gateway does: rates, tiers, latency, escalations, money.',
    load: async () => (await import('./top.ts')).topCommand,
  },
  {
    name: 'learn',
    summary: 'Find the recurring tasks in recorded traffic, fit a specialist for each, certify it.',
    load: async () => (await import('./learn.ts')).learnCommand,
  },
  {
    name: 'train',
    summary: 'Fine-tune an encoder on a file of labelled texts and write it as a model folder.',
    load: async () => (await import('./train.ts')).trainCommand,
  },
  {
    name: 'compress',
    summary: 'Make a classifier smaller: measure and certify variants, keep the fastest good one.',
    load: async () => (await import('./compress.ts')).compressCommand,
  },
  {
    name: 'import',
    summary: 'Import recorded traffic; importing a file again changes nothing.',
    load: async () => (await import('./import.ts')).importCommand,
  },
  {
    ...from('models list', models),
    summary: 'List the models of the catalog and which are on this machine.',
  },
  {
    ...from('models pull', models),
    summary: 'Fetch models; what is there already is checked, what broke off is resumed.',
  },
  { ...from('models remove', models), summary: 'Remove models from this machine.' },
  {
    ...from('runtime add', runtime),
    summary: 'Install a native runtime into the data folder, or check and repair it.',
  },
  {
    ...from('runtime list', runtime),
    summary: 'Show the native runtimes and whether they are installed.',
  },
  {
    ...from('runtime remove', runtime),
    summary: 'Remove a native runtime from the data folder.',
  },
  {
    ...from('ledger verify', ledger),
    summary: 'Check that no record was altered, removed or cut off.',
  },
  {
    ...from('ledger head', ledger),
    summary: 'Print the hashes to note down elsewhere, for `ledger verify --head`.',
  },
  {
    ...from('ledger rebuild', ledger),
    summary: 'Empty the database and fill it again from the ledger.',
  },
  {
    ...from('ledger erase', ledger),
    summary: 'Erase what a trace says, for good; the ledger still verifies.',
  },
  {
    ...from('key create', key),
    summary: 'Make a virtual key; its token is printed once, and nowhere kept.',
  },
  { ...from('key list', key), summary: 'List the virtual keys and what each used.' },
  {
    ...from('key rotate', key),
    summary: 'Give a key a new token; the old one stays good for a while.',
  },
  { ...from('key revoke', key), summary: 'Refuse a key from now on.' },
  {
    ...from('config', config),
    summary: 'Check the configuration and show every setting with its value.',
  },
  {
    ...from('config check', config),
    summary: 'Check a configuration file; says line, column and key of what is wrong.',
  },
  {
    name: 'version',
    summary: 'Show the version.',
    load: async () => (await import('./version.ts')).versionCommand,
  },
]
