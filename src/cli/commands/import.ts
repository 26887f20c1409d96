/** `understudy import`: brings recorded traffic into the data folder, as a job. */
import { resolve } from 'node:path'
import type { FileReport, ImportParams, ImportReport } from '../../learn/index.ts'
import { isLogFormat, LOG_FORMATS } from '../../wire/index.ts'
import { textOption, usageError } from '../args.ts'
import { connect, runJob } from '../client.ts'
import type { Command, CommandInput } from '../command.ts'
import { configOption, dataFolder, dataOption, jsonOption } from '../options.ts'
import { renderTable } from '../table.ts'

const formatNames = Object.keys(LOG_FORMATS).join(', ')

export const importCommand: Command = {
  name: 'import',
  summary: 'Import recorded traffic; importing a file again changes nothing.',
  positionals: {
    placeholder: 'FILE…',
    help: 'JSON Lines, JSON arrays, CSV or TSV, also gzipped (.gz).',
    min: 1,
    max: 1000,
  },
  options: [
    dataOption,
    configOption,
    {
      name: 'format',
      type: 'string',
      placeholder: 'NAME',
      help: `Format of the files, recognised by itself where left out: ${formatNames}.`,
    },
    {
      name: 'task',
      type: 'string',
      placeholder: 'NAME',
      help: 'Declared task that the files belong to; needed for text and label.',
    },
    {
      name: 'app',
      type: 'string',
      placeholder: 'NAME',
      help: 'App of the lines that name none; without it they match any app.',
    },
    jsonOption,
  ],
  examples: [
    'understudy import traffic.jsonl',
    'understudy import labelled.csv --task intent --json',
  ],
  async run(input, terminal) {
    const params = importParams(input)
    const client = await connect({
      dataDir: dataFolder(input, terminal),
      env: terminal.env,
      configFile: textOption(input, 'config'),
    })
    try {
      const report = (await runJob(client, 'import', params, terminal)) as ImportReport
      terminal.out(
        input.options.json === true ? `${JSON.stringify(report, null, 2)}\n` : renderImport(report),
      )
    } finally {
      await client.close()
    }
    return 0
  },
}

/** What to import, from the options that `import` and `learn` share. @throws usage-invalid */
export function importParams(input: CommandInput): ImportParams {
  const format = textOption(input, 'format') ?? null
  if (format !== null && !isLogFormat(format)) {
    throw usageError(`There is no format '${format}'.`, `use one of ${formatNames}.`)
  }
  return {
    files: input.positionals.map(file => resolve(file)),
    format,
    task: textOption(input, 'task') ?? null,
    app: textOption(input, 'app') ?? null,
  }
}

/** The report for people: one row a file, then what was left out and why. */
export function renderImport({ files }: ImportReport): string {
  const table = renderTable(
    [
      { title: 'file' },
      { title: 'format' },
      { title: 'lines', align: 'right' },
      { title: 'imported', align: 'right' },
      { title: 'known', align: 'right' },
      { title: 'conflicts', align: 'right' },
      { title: 'broken', align: 'right' },
    ],
    files.map(file => [
      file.path,
      file.format ?? 'empty',
      ...[
        file.lineCount,
        file.importedCount,
        file.duplicateCount,
        file.conflictCount,
        file.rejectedCount,
      ].map(count => count.toLocaleString('en')),
    ]),
  )
  return [table, ...files.map(leftOut)].join('')
}

function leftOut(file: FileReport): string {
  const lines = [
    ...file.rejected.map(({ line, reason }) => `${place(file, line)}: ${reason}`),
    ...more(file.rejectedCount - file.rejected.length, 'broken lines'),
    ...file.conflicts.map(
      ({ id, line }) => `${place(file, line)}: id ${id} is known with other content; not imported`,
    ),
    ...more(file.conflictCount - file.conflicts.length, 'conflicts'),
  ]
  return lines.length === 0 ? '' : `\n${lines.map(line => `${line}\n`).join('')}`
}

function place(file: FileReport, line: number): string {
  return line === 0 ? file.path : `${file.path}:${line}`
}

function more(count: number, what: string): string[] {
  return count <= 0 ? [] : [`… and ${count.toLocaleString('en')} more ${what}`]
}
