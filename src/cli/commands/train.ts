/** `understudy train`: posts a training job and shows what came of it. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { hasCode } from '../../errors.ts'
import type { TrainReport } from '../../learn/index.ts'
import {
  budgetOption,
  flagOption,
  numberOption,
  parseBytes,
  textOption,
  usageError,
} from '../args.ts'
import { connect, runJob } from '../client.ts'
import type { Command, CommandInput, CommandOption } from '../command.ts'
import { configOption, dataFolder, dataOption, jsonOption } from '../options.ts'
import { renderTrainReport } from '../train-table.ts'

const TASKS = ['label', 'labels', 'pair', 'spans']
const METHODS = ['auto', 'head', 'lora', 'full', 'contrastive']
const CLASS_WEIGHTS = ['none', 'balanced']

/** What a run's record says for `--recipe`. Their defaults are in the help alone, so that what was given can be told. */
const OF_THE_RUN = [
  'task-kind',
  'method',
  'budget',
  'memory',
  'seed',
  'label-smoothing',
  'class-weights',
  'temperature',
]

const option = (
  name: string,
  placeholder: string,
  help: string,
  value?: string,
): CommandOption => ({
  name,
  type: 'string',
  placeholder,
  help,
  ...(value !== undefined && { default: value }),
})

export const trainCommand: Command = {
  name: 'train',
  summary: 'Fine-tune an encoder on a file of labelled texts and write it as a model folder.',
  positionals: {
    placeholder: 'FILE',
    help: 'Rows with a text and a label: CSV, TSV, JSON Lines or JSON, also gzipped (.gz).',
    min: 1,
    max: 1,
  },
  options: [
    dataOption,
    configOption,
    option('output', 'FOLDER', 'New folder for the model (default: named after FILE, here).'),
    option(
      'task-kind',
      'KIND',
      'label (one of a text; the default), labels (any number), pair (one of two texts), spans (marked words).',
    ),
    option('base', 'NAME', 'Encoder of the catalog, or a folder with one.', 'all-minilm-l6-v2'),
    option(
      'method',
      'NAME',
      'head, lora, full, contrastive (for few rows per label), or auto (the default): whatever does best.',
    ),
    option('budget', 'TIME', 'Limit of the fitting time in total, e.g. 90s, 3m, 1h (default 3m).'),
    option('memory', 'SIZE', 'What caches and batches may take, e.g. 500mb, 2gb (default 1gb).'),
    option('recipe', 'ID', 'Repeat this run instead of searching.'),
    option(
      'on',
      'WHERE',
      'here, or torch: writes a job for PyTorch elsewhere; with the folder of a finished job as FILE, reads it back.',
      'here',
    ),
    option('seed', 'N', 'Decides the inner split and everything random (default 0).'),
    option('text-column', 'NAME', 'Column of the text, where it is not found by itself.'),
    option('pair-column', 'NAME', 'Column of the second text.'),
    option('label-column', 'NAME', 'Column of the label or labels.'),
    option('label-smoothing', 'SHARE', 'Part of every target that goes to all labels evenly.'),
    option(
      'class-weights',
      'KIND',
      'none, or balanced: rare labels count more; not with task kind labels.',
    ),
    option('teacher', 'FOLDER', 'Model folder whose probabilities are learned instead of labels.'),
    option('temperature', 'T', 'Softens the probabilities of a teacher.'),
    jsonOption,
  ],
  examples: [
    'understudy train labelled.csv --output my-model',
    'understudy train labelled.csv --base my-encoder --method lora --output my-lora --json',
    'understudy train labelled.csv --base my-encoder --on torch --output my-job',
  ],
  async run(input, terminal) {
    const params = trainParams(input)
    const client = await connect({
      dataDir: dataFolder(input, terminal),
      env: terminal.env,
      configFile: textOption(input, 'config'),
    })
    try {
      const report = (await runJob(client, 'train', params, terminal)) as TrainReport
      terminal.out(
        flagOption(input, 'json')
          ? `${JSON.stringify(report, null, 2)}\n`
          : renderTrainReport(report),
      )
    } catch (error) {
      if (hasCode(error, 'cancelled')) {
        terminal.err('What was trained so far is kept: run the same command again to go on.\n')
      }
      throw error
    } finally {
      await client.close()
    }
    return 0
  },
}

function trainParams(input: CommandInput) {
  const [file = ''] = input.positionals
  const text = (name: string) => textOption(input, name)
  requireSameRun(input)
  return {
    file: resolve(file),
    task: choice(input, 'task-kind', TASKS) ?? 'label',
    columns: {
      ...named('text', text('text-column')),
      ...named('pair', text('pair-column')),
      ...named('label', text('label-column')),
    },
    base: baseOf(text('base') ?? ''),
    output: resolve(text('output') ?? defaultOutput(file)),
    method: choice(input, 'method', METHODS) ?? 'auto',
    teacher: folderOf(text('teacher')),
    on: choice(input, 'on', ['here', 'torch']) ?? 'here',
    recipe: text('recipe') ?? null,
    budgetMs: budgetOption(input, '3m'),
    memoryBytes: memory(text('memory') ?? '1gb'),
    seed: seed(input),
    fixed: {
      ...named(
        'labelSmoothing',
        numberOption(input, 'label-smoothing', { min: 0, max: 0.99, example: 0.1 }),
      ),
      ...named('classWeights', choice(input, 'class-weights', CLASS_WEIGHTS)),
      ...named('temperature', numberOption(input, 'temperature', { min: 1, max: 100, example: 2 })),
    },
  }
}

/** @throws usage-invalid where an option beside --recipe would go unheeded */
function requireSameRun(input: CommandInput): void {
  const given = OF_THE_RUN.filter(name => textOption(input, name) !== undefined)
  if (textOption(input, 'recipe') === undefined || given.length === 0) return
  throw usageError(
    '--recipe repeats a run as it was.',
    `leave out ${given.map(name => `--${name}`).join(', ')}, or --recipe to train anew.`,
  )
}

function folderOf(path: string | undefined): string | null {
  return path === undefined ? null : resolve(path)
}

function named(name: string, value: string | number | undefined) {
  return value === undefined ? {} : { [name]: value }
}

/** `data/banking.csv` → `banking-model`. */
function defaultOutput(file: string): string {
  const name = file.split(/[\\/]/).at(-1) ?? ''
  return `${name.replace(/(\.(csv|tsv|jsonl|json|ndjson))?(\.gz)?$/i, '') || 'trained'}-model`
}

/** A path where there is something at it, else a name. */
function baseOf(base: string): string {
  return existsSync(base) || /[\\/]/.test(base) ? resolve(base) : base
}

function choice(input: CommandInput, name: string, allowed: readonly string[]): string | undefined {
  const value = textOption(input, name)
  if (value === undefined || allowed.includes(value)) return value
  throw usageError(`--${name} is "${value}".`, `use ${allowed.join(', ')}.`)
}

function memory(text: string): number {
  const value = parseBytes(text)
  if (value !== null && value >= 16 * 2 ** 20) return value
  throw usageError(`--memory is "${text}".`, 'use a size of at least 16mb, such as 500mb or 2gb.')
}

function seed(input: CommandInput): number {
  const value = numberOption(input, 'seed', { min: 0, max: 2 ** 31 - 1 }) ?? 0
  if (Number.isSafeInteger(value)) return value
  throw usageError(`--seed is ${value}.`, 'use a whole number.')
}
