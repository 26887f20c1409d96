/** `understudy learn`: posts a learning job and shows what came of it. */
import { open, writeFile } from 'node:fs/promises'
import { renderReportHtml } from '../../console/index.ts'
import type { LearnReport } from '../../learn/index.ts'
import { budgetOption, flagOption, numberOption, textOption, usageError } from '../args.ts'
import { connect, runJob } from '../client.ts'
import type { Command, CommandInput } from '../command.ts'
import { configOption, dataFolder, dataOption, jsonOption, SHARES } from '../options.ts'
import { renderReport } from '../report-table.ts'
import { importParams } from './import.ts'

export const learnCommand: Command = {
  name: 'learn',
  summary: 'Find the recurring tasks in recorded traffic, fit a specialist for each, certify it.',
  positionals: {
    placeholder: 'FILE',
    help: 'Recorded traffic to import first; without any, the traffic already recorded is used.',
    min: 0,
    max: 1000,
  },
  options: [
    dataOption,
    configOption,
    {
      name: 'target-risk',
      type: 'string',
      placeholder: 'SHARE',
      help: 'Share of the answered requests that may differ from the lead (default: the setting, 0.05).',
    },
    {
      name: 'confidence-level',
      type: 'string',
      placeholder: 'SHARE',
      help: 'How sure the promise has to be (default: the setting, 0.9).',
    },
    {
      name: 'promise',
      type: 'string',
      placeholder: 'KIND',
      default: 'selective',
      help: 'selective (of what it answers) or marginal (of all requests).',
    },
    {
      name: 'budget',
      type: 'string',
      placeholder: 'TIME',
      default: '3m',
      help: 'Limit of the fitting time in total, e.g. 90s, 3m, 1h.',
    },
    {
      name: 'seed',
      type: 'string',
      placeholder: 'N',
      default: '0',
      help: 'Salts the split and everything random.',
    },
    {
      name: 'promote',
      type: 'boolean',
      help: 'Put what is certified at the target risk straight to live.',
    },
    {
      name: 'format',
      type: 'string',
      placeholder: 'NAME',
      help: 'Format of the files; recognised by itself where left out.',
    },
    {
      name: 'task',
      type: 'string',
      placeholder: 'NAME',
      help: 'Declared task of a file of text and label.',
    },
    {
      name: 'app',
      type: 'string',
      placeholder: 'NAME',
      help: 'App of the imported lines that name none.',
    },
    jsonOption,
    {
      name: 'html',
      type: 'string',
      placeholder: 'FILE',
      help: 'Also write the report as one self-contained page.',
    },
  ],
  examples: [
    'understudy learn traffic.jsonl',
    'understudy learn traffic.jsonl --target-risk 0.02 --promote --html report.html',
    'understudy learn labelled.csv --task intent --json',
  ],
  async run(input, terminal) {
    const params = learnParams(input)
    const html = textOption(input, 'html')
    if (html !== undefined) await checkWritable(html)
    const client = await connect({
      dataDir: dataFolder(input, terminal),
      env: terminal.env,
      configFile: textOption(input, 'config'),
    })
    try {
      const report = (await runJob(client, 'learn', params, terminal)) as LearnReport
      terminal.out(
        flagOption(input, 'json')
          ? `${JSON.stringify(report, null, 2)}\n`
          : renderReport(report, terminal),
      )
      if (html !== undefined) {
        await writeFile(html, renderReportHtml(report))
        terminal.err(`report written to ${html}\n`)
      }
    } finally {
      await client.close()
    }
    return 0
  },
}

/** Before an hour of learning, not after it. */
async function checkWritable(path: string): Promise<void> {
  try {
    await (await open(path, 'a')).close()
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw usageError(
      `--html ${path} cannot be written: ${why}.`,
      'name a file in a folder that exists.',
    )
  }
}

function learnParams(input: CommandInput) {
  const promise = textOption(input, 'promise') ?? 'selective'
  if (promise !== 'selective' && promise !== 'marginal') {
    throw usageError(`--promise is "${promise}".`, 'use selective or marginal.')
  }
  return {
    ...importParams(input),
    ...share(input, 'target-risk', 'targetRisk'),
    ...share(input, 'confidence-level', 'confidenceLevel'),
    promise,
    budgetMs: budgetOption(input, '3m'),
    seed: seed(input),
    promote: flagOption(input, 'promote'),
  }
}

/** Left out where it was not given: then the setting counts. */
function share<Name extends string>(
  input: CommandInput,
  option: keyof typeof SHARES,
  name: Name,
): { readonly [Key in Name]?: number } {
  const value = numberOption(input, option, SHARES[option])
  return value === undefined ? {} : ({ [name]: value } as { [Key in Name]: number })
}

function seed(input: CommandInput): number {
  const value = numberOption(input, 'seed') ?? 0
  if (Number.isSafeInteger(value)) return value
  throw usageError(`--seed is ${value}.`, 'use a whole number.')
}
