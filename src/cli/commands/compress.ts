/** `understudy compress`: posts a compressing job and shows the table of variants. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { hasCode } from '../../errors.ts'
import type { CompressOutcome } from '../../learn/index.ts'
import { budgetOption, flagOption, numberOption, textOption, usageError } from '../args.ts'
import { connect, runJob } from '../client.ts'
import type { Command, CommandInput } from '../command.ts'
import { renderCompressReport } from '../compress-table.ts'
import { configOption, dataFolder, dataOption, jsonOption, SHARES } from '../options.ts'

export const compressCommand: Command = {
  name: 'compress',
  summary: 'Make a classifier smaller: measure and certify variants, keep the fastest good one.',
  positionals: {
    placeholder: 'FILE',
    help: 'Rows of text and label, as CSV, TSV, JSON Lines or JSON.',
    min: 1,
    max: 1,
  },
  options: [
    dataOption,
    configOption,
    {
      name: 'model',
      type: 'string',
      placeholder: 'NAME',
      help: 'Model folder, or name in the catalog (default: the encoder that learn uses).',
    },
    {
      name: 'held-out',
      type: 'string',
      placeholder: 'FILE',
      help: 'Rows that the model has not learned from: they select and certify (default: part of FILE).',
    },
    {
      name: 'out',
      type: 'string',
      placeholder: 'DIR',
      help: 'Write the chosen variant to this new folder.',
    },
    {
      name: 'target-risk',
      type: 'string',
      placeholder: 'SHARE',
      help: 'Share of the answers that may be wrong (default: the setting, 0.05).',
    },
    {
      name: 'confidence-level',
      type: 'string',
      placeholder: 'SHARE',
      help: 'How sure the promise has to be (default: the setting, 0.9).',
    },
    {
      name: 'certify',
      type: 'string',
      placeholder: 'WHICH',
      default: 'every',
      help: 'every variant, sharing the error level, or chosen, which gets all of it.',
    },
    {
      name: 'max-loss',
      type: 'string',
      placeholder: 'SHARE',
      default: '0.005',
      help: 'Accuracy that the chosen variant may lose.',
    },
    {
      name: 'budget',
      type: 'string',
      placeholder: 'TIME',
      default: '3m',
      help: 'For training smaller variants, e.g. 90s, 10m; 0s trains none.',
    },
    {
      name: 'seed',
      type: 'string',
      placeholder: 'N',
      default: '0',
      help: 'Salts the split.',
    },
    jsonOption,
  ],
  examples: [
    'understudy compress labelled.csv',
    'understudy compress labelled.csv --certify chosen --out small-intents',
    'understudy compress tickets.csv --model tickets-model --held-out new-tickets.csv',
  ],
  async run(input, terminal) {
    const params = compressParams(input)
    const client = await connect({
      dataDir: dataFolder(input, terminal),
      env: terminal.env,
      configFile: textOption(input, 'config'),
    })
    try {
      const outcome = (await runJob(client, 'compress', params, terminal)) as CompressOutcome
      terminal.out(
        flagOption(input, 'json')
          ? `${JSON.stringify(outcome, null, 2)}\n`
          : renderCompressReport(outcome.report),
      )
      for (const notice of outcome.notices) terminal.err(`${notice}\n`)
      if (outcome.brokenCount > 0) {
        terminal.err(`${outcome.brokenCount} records without a text and a label were left out\n`)
      }
      if (outcome.folder !== null) terminal.err(`${outcome.report.chosen}: ${outcome.folder}\n`)
    } catch (error) {
      if (hasCode(error, 'cancelled')) {
        terminal.err(
          'What was trained so far, if anything, is kept: run the same command again to go on.\n',
        )
      }
      throw error
    } finally {
      await client.close()
    }
    return 0
  },
}

function compressParams(input: CommandInput) {
  const certified = textOption(input, 'certify') ?? 'every'
  if (certified !== 'every' && certified !== 'chosen') {
    throw usageError(`--certify is "${certified}".`, 'use every or chosen.')
  }
  const [model, out, heldOut] = ['model', 'out', 'held-out'].map(name => textOption(input, name))
  const targetRisk = numberOption(input, 'target-risk', SHARES['target-risk'])
  const confidenceLevel = numberOption(input, 'confidence-level', SHARES['confidence-level'])
  return {
    file: resolve(input.positionals[0] as string),
    heldOut: heldOut === undefined ? null : resolve(heldOut),
    // A folder where there is one; otherwise a name, which the catalog knows or refuses.
    model: model === undefined ? null : existsSync(model) ? resolve(model) : model,
    out: out === undefined ? null : resolve(out),
    ...(targetRisk === undefined ? {} : { targetRisk }),
    ...(confidenceLevel === undefined ? {} : { confidenceLevel }),
    certified,
    maxAccuracyLoss: numberOption(input, 'max-loss', { min: 0, max: 1, example: 0.005 }) ?? 0.005,
    // Without time nothing is healed or distilled.
    budgetMs: budgetOption(input, '3m', { mayBeNothing: true }),
    seed: numberOption(input, 'seed') ?? 0,
  }
}
