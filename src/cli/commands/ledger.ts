/**
 * `understudy ledger verify | head | rebuild | erase`. The first two read files alone, also while a server runs; the
 * others need the data folder for themselves.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../config/index.ts'
import { UnderstudyError } from '../../errors.ts'
import { type VerifyReport, verifyLedger } from '../../ledger/index.ts'
import { describeTrace } from '../../tasks/index.ts'
import { type OwnedWorkspace, openWorkspace } from '../../workspace/index.ts'
import { textOption } from '../args.ts'
import type { Command, CommandInput, CommandOption, Terminal } from '../command.ts'
import { configOption, dataFolder, dataOption, jsonOption } from '../options.ts'
import { createProgress } from '../progress.ts'

const headOption: CommandOption = {
  name: 'head',
  type: 'string[]',
  placeholder: 'HASH',
  help: 'A head noted down earlier, as `ledger head` prints it: it must still be there. May be repeated.',
}

const keyOption: CommandOption = {
  name: 'key',
  type: 'string',
  placeholder: 'BASE64',
  help: 'The public key that every head must be signed with.',
}

export const ledgerVerifyCommand: Command = {
  name: 'ledger verify',
  summary: 'Check that no record was altered, removed or cut off.',
  options: [dataOption, headOption, keyOption, jsonOption],
  examples: ['understudy ledger verify', 'understudy ledger verify --json'],
  async run(input, terminal) {
    const report = await verify(input, terminal)
    terminal.out(input.options.json ? asJson(report) : reportText(report))
    return report.ok ? 0 : 1
  },
}

export const ledgerHeadCommand: Command = {
  name: 'ledger head',
  summary: 'Print the hashes to note down elsewhere, for `ledger verify --head`.',
  options: [dataOption, jsonOption],
  examples: ['understudy ledger head'],
  async run(input, terminal) {
    const { heads, ok } = await verify(input, terminal)
    if (!ok) terminal.err('The ledger was altered: run `understudy ledger verify`.\n')
    terminal.out(input.options.json ? asJson(heads) : heads.map(({ hash }) => `${hash}\n`).join(''))
    return ok ? 0 : 1
  },
}

export const ledgerRebuildCommand: Command = {
  name: 'ledger rebuild',
  summary: 'Empty the database and fill it again from the ledger.',
  options: [dataOption, configOption, jsonOption],
  examples: ['understudy ledger rebuild'],
  run: (input, terminal) =>
    withWorkspace(input, terminal, async workspace => {
      await workspace.rebuild()
      const traceCount = await workspace.store.traceCount()
      const { unprojectedCount } = workspace.health()
      const { ok } = await verifyLedger(join(workspace.dataDir, 'ledger'))
      terminal.out(
        input.options.json
          ? asJson({ traceCount, unprojectedCount })
          : `the database is rebuilt: ${traceCount} traces\n`,
      )
      if (!ok) terminal.err('The ledger was altered: run `understudy ledger verify`.\n')
      return ok ? 0 : 1
    }),
}

export const ledgerEraseCommand: Command = {
  name: 'ledger erase',
  summary: 'Erase what a trace says, for good; the ledger still verifies.',
  positionals: { placeholder: 'ID', help: 'Decision ids of the traces.', min: 1, max: 1000 },
  options: [dataOption, configOption, jsonOption],
  examples: ['understudy ledger erase dec_01JC8Y3V0D5X6R2K9M4T7W1QZA'],
  run: (input, terminal) =>
    withWorkspace(input, terminal, async workspace => {
      const { positionals, options } = input
      for (const id of positionals) await workspace.erase(id)
      const sentence = `${positionals.length} erased; copies in backups are not.\n`
      terminal.out(options.json ? asJson({ erased: positionals }) : sentence)
      return 0
    }),
}

export const ledgerCommands: readonly Command[] = [
  ledgerVerifyCommand,
  ledgerHeadCommand,
  ledgerRebuildCommand,
  ledgerEraseCommand,
]

async function verify(input: CommandInput, terminal: Terminal): Promise<VerifyReport> {
  const { key, head } = input.options
  const progress = createProgress(terminal)
  const dir = join(dataFolder(input, terminal), 'ledger')
  if (!existsSync(dir)) {
    throw new UnderstudyError('file-unreadable', `there is no ledger in ${dir}`, {
      help: 'name the data folder with --data DIR.',
    })
  }
  try {
    return await verifyLedger(dir, {
      heads: askedHeads(head),
      ...(typeof key === 'string' && { publicKey: key }),
      signal: terminal.signal,
      onProgress: count => progress.update('verify', count, 0),
    })
  } finally {
    progress.finish()
  }
}

/** Several hashes may come in one word, as the output of `ledger head` in quotes. */
function askedHeads(option: CommandInput['options'][string]): readonly string[] {
  const words = (Array.isArray(option) ? option : []) as readonly string[]
  const hashes = words.flatMap(word => word.toLowerCase().split(/[\s,]+/)).filter(Boolean)
  for (const hash of hashes) {
    if (/^[0-9a-f]{64}$/.test(hash)) continue
    throw new UnderstudyError('usage-invalid', `'${hash}' is not the hash of a record`, {
      help: 'pass what `understudy ledger head` printed: 64 hexadecimal digits.',
    })
  }
  return hashes
}

async function withWorkspace(
  input: CommandInput,
  terminal: Terminal,
  work: (workspace: OwnedWorkspace) => Promise<number>,
): Promise<number> {
  const dataDir = dataFolder(input, terminal)
  const file = textOption(input, 'config')
  const { databaseUrl } = (await loadConfig({ dataDir, env: terminal.env, file })).settings
  const workspace = await openWorkspace({
    dataDir,
    describe: describeTrace,
    command: 'understudy ledger',
    ...(databaseUrl !== null && { databaseUrl }),
  })
  try {
    return await work(workspace)
  } finally {
    await workspace.close()
  }
}

function reportText(report: VerifyReport): string {
  const { recordCount, writerCount, erasedCount, firstAltered, altered, signatures } = report
  const lines = [`${recordCount} records of ${writerCount} writers, ${erasedCount} erased`]
  if (firstAltered !== null) {
    const { writer, seq, segment, offset, fault } = firstAltered
    lines.push(`ALTERED: record ${seq} of ${writer} (segment ${segment}, byte ${offset}): ${fault}`)
    if (altered.length > 1) lines.push(`and ${altered.length - 1} more; --json names them`)
  }
  for (const { hash, isFound } of report.asked) {
    lines.push(isFound ? `head ${hash} is there` : `MISSING: no record has the head ${hash}`)
  }
  for (const { writer, segment, offset, byteCount } of report.tornTails) {
    lines.push(
      `torn by a crash: ${byteCount} bytes at the end of ${writer} (segment ${segment}, byte ${offset})`,
    )
  }
  if (report.pendingErasureCount > 0) {
    lines.push(`${report.pendingErasureCount} erasures are not finished; the next start does it`)
  }
  const { validCount, invalidCount, foreignCount, unsignedRecordCount } = signatures
  if (invalidCount > 0) lines.push(`INVALID: ${invalidCount} signatures`)
  if (foreignCount > 0) lines.push(`FOREIGN: ${foreignCount} signatures by another key`)
  lines.push(`${validCount} signed heads; ${unsignedRecordCount} records after the last one`)
  lines.push(report.ok ? 'ok' : 'NOT OK')
  return `${lines.join('\n')}\n`
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
