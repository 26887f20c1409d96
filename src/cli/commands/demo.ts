/** `understudy demo`: the whole path on generated traffic, by the same public ways that an operator has. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { loadConfig } from '../../config/index.ts'
import { plural, renderReportHtml, whole } from '../../console/index.ts'
import { UnderstudyError } from '../../errors.ts'
import type { LearnParams, LearnReport } from '../../learn/index.ts'
import { verifyLedger } from '../../ledger/index.ts'
import { makeFolder } from '../../platform/index.ts'
import { systemClock } from '../../util/index.ts'
import { budgetOption, flagOption, numberOption, textOption } from '../args.ts'
import { connect, runJob } from '../client.ts'
import type { Command, CommandInput, Terminal } from '../command.ts'
import { labelledDay, writeDay } from '../demo/files.ts'
import { startGateway } from '../demo/gateway-process.ts'
import { type DemoResult, measureReplay } from '../demo/measure.ts'
import { escalationReasons, replayDay } from '../demo/replay.ts'
import { renderSummary, type SummaryParts } from '../demo/summary.ts'
import { jsonOption } from '../options.ts'
import { createProgress } from '../progress.ts'
import { renderReport, terminalColors } from '../report-table.ts'

const TARGET_RISK = 0.05
/** On two free cores enough for an encoder in every task. */
const BUDGET = '100s'
/** Enough to see concurrency, little enough that two shared cores keep up. */
const REQUESTS_PER_SECOND = 80
/** The second day is replayed in real lead latency, so it is a smaller sample than the first. */
const REPLAY_SHARE = 0.4

export const demoCommand: Command = {
  name: 'demo',
  summary: 'Learn from a generated day at a support desk, then serve the next one.',
  options: [
    {
      name: 'data',
      type: 'string',
      placeholder: 'DIR',
      help: 'New or empty folder to work in, kept afterwards (default: a temporary one).',
    },
    {
      name: 'seed',
      type: 'string',
      placeholder: 'N',
      default: '1',
      help: 'Another seed is another desk day.',
    },
    {
      name: 'requests',
      type: 'string',
      placeholder: 'N',
      default: '12000',
      help: 'Requests of the day to learn from; two fifths as many are replayed.',
    },
    {
      name: 'budget',
      type: 'string',
      placeholder: 'TIME',
      default: BUDGET,
      help: 'Limit of the fitting time in total, e.g. 90s, 3m, 1h.',
    },
    { name: 'keep', type: 'boolean', help: 'Keep the temporary folder.' },
    jsonOption,
  ],
  examples: ['understudy demo --requests 600', 'understudy demo --requests 600 --seed 7 --json'],
  async run(input, terminal) {
    const named = textOption(input, 'data')
    const folder = await workFolder(named)
    const isKept = named !== undefined || flagOption(input, 'keep')
    try {
      return await demo(input, terminal, { folder, isKept })
    } finally {
      if (!isKept) await rm(folder, { recursive: true, force: true })
    }
  },
}

/** @throws usage-invalid where the folder holds something already */
async function workFolder(named: string | undefined): Promise<string> {
  if (named === undefined) return mkdtemp(join(tmpdir(), 'understudy-demo-'))
  const folder = resolve(named)
  await makeFolder(folder)
  if ((await readdir(folder)).length > 0) {
    throw new UnderstudyError('usage-invalid', `${folder} is not empty.`, {
      help: 'name a new folder, so that the demo mixes with nothing else.',
    })
  }
  return folder
}

interface Place {
  readonly folder: string
  readonly isKept: boolean
}

async function demo(
  input: CommandInput,
  terminal: Terminal,
  { folder, isKept }: Place,
): Promise<number> {
  const startMs = systemClock.monotonic()
  const seed = numberOption(input, 'seed', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 1
  const requestCount = Math.round(numberOption(input, 'requests', { min: 100, max: 1e6 }) ?? 12_000)
  const budgetMs = budgetOption(input, BUDGET)
  const isJson = flagOption(input, 'json')
  const dataDir = join(folder, 'data')
  const files = { learn: join(folder, 'day1.jsonl'), replay: join(folder, 'day2.jsonl') }
  const next = { seed, day: 2, requestCount: Math.round(requestCount * REPLAY_SHARE) }
  const step = stepper(terminal)

  step(
    1,
    `Writing two days at a bank's support desk (seed ${seed}): ${plural(requestCount, 'request')} to learn from`,
  )
  await writeDay(files.learn, { seed, day: 1, requestCount })
  await writeDay(files.replay, next)
  terminal.signal.throwIfAborted()

  step(2, 'Importing the first day, finding its tasks, fitting and certifying specialists')
  const report = await learn(dataDir, { file: files.learn, seed, budgetMs }, terminal)
  await writeFile(join(folder, 'report.html'), renderReportHtml(report))
  if (!isJson) terminal.out(`\n${renderReport(report, terminal)}`)

  step(
    3,
    `Starting the gateway and replaying ${whole(next.requestCount)} requests of the next day, ${REQUESTS_PER_SECOND} a second`,
  )
  const result = await serveNextDay(dataDir, { file: files.replay, day: next }, terminal)

  step(4, 'Verifying the ledger')
  const verified = await verifyLedger(join(dataDir, 'ledger'), { signal: terminal.signal })
  const isSound = verified.ok && result.intrusionCount === 0 && result.unaccountedCount === 0
  const seconds = (systemClock.monotonic() - startMs) / 1000
  terminal.out(
    isJson
      ? `${JSON.stringify({ report, result, ledger: { ok: verified.ok, recordCount: verified.recordCount }, seconds }, null, 2)}\n`
      : `\n${renderSummary(
          {
            result,
            targetRisk: TARGET_RISK,
            ledgerRecordCount: verified.recordCount,
            isLedgerIntact: verified.ok,
            seconds,
            hurry: hurryIn(report, budgetMs),
            next: nextCommands(folder, isKept),
          },
          terminal,
        )}`,
  )
  return isSound ? 0 : 1
}

function stepper(terminal: Terminal): (number: number, text: string) => void {
  const { bold, cyan } = terminalColors(terminal)
  return (number, text) => terminal.err(`${cyan(`[${number}/4]`)} ${bold(text)}\n`)
}

async function learn(
  dataDir: string,
  { file, seed, budgetMs }: Pick<LearnParams, 'seed' | 'budgetMs'> & { readonly file: string },
  terminal: Terminal,
): Promise<LearnReport> {
  const params: LearnParams = {
    files: [file],
    format: null,
    task: null,
    app: null,
    targetRisk: TARGET_RISK,
    confidenceLevel: 0.9,
    promise: 'selective',
    budgetMs,
    seed,
    promote: true,
  }
  const client = await connect({ dataDir, env: terminal.env })
  try {
    return (await runJob(client, 'learn', params, terminal)) as LearnReport
  } finally {
    await client.close()
  }
}

async function serveNextDay(
  dataDir: string,
  { file, day }: { readonly file: string; readonly day: Parameters<typeof labelledDay>[0] },
  terminal: Terminal,
): Promise<DemoResult> {
  const { signal, env } = terminal
  const { prices } = await loadConfig({ dataDir, env })
  const gateway = await startGateway(dataDir, `replay:${file}`, signal)
  const progress = createProgress(terminal)
  try {
    // The process that serves owns the folder, so this leads to its port.
    const client = await connect({ dataDir, env })
    const replies = await replayDay(labelledDay(day), {
      client,
      requestsPerSecond: REQUESTS_PER_SECOND,
      signal,
      onProgress: done => progress.update('replay', done, day.requestCount),
    })
    const reasons = await escalationReasons(replies, client, signal)
    return measureReplay(replies, reasons, prices)
  } finally {
    progress.finish()
    await gateway.stop()
  }
}

function hurryIn({ withoutEncoder, tasks }: LearnReport, budgetMs: number): SummaryParts['hurry'] {
  if (withoutEncoder.length === 0) return null
  const command = `${typed()} demo --budget ${Math.ceil((3 * budgetMs) / 60_000)}m`
  return { count: withoutEncoder.length, of: tasks.length, command }
}

/** What this program was started by, to be typed again: in a clone `understudy` is not found. */
function typed(): string {
  const script = process.argv[1] ?? ''
  return script.endsWith('.js') ? `node ${relative(process.cwd(), script)}` : 'understudy'
}

function nextCommands(folder: string, isKept: boolean): readonly string[] {
  const understudy = typed()
  if (!isKept) {
    return [
      `${understudy} learn YOUR-TRAFFIC.jsonl --html report.html   # your own log`,
      `${understudy} up --lead https://api.example.com/v1          # then point an app at it`,
      `${understudy} demo --data demo-data                         # the same, kept to look around`,
    ]
  }
  const data = join(folder, 'data')
  return [
    `open ${join(folder, 'report.html')}`,
    `${understudy} up --data ${data} --lead replay:${join(folder, 'day2.jsonl')}`,
    `${understudy} ledger verify --data ${data}`,
  ]
}
