/** The process of one job: told by its host what to do, with the host's database and a ledger writer of its own. */
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { openInProcessRuntime, resolveExecutionProvider } from '../runtimes/index.ts'
import { processChannel } from '../store/index.ts'
import { describeTrace } from '../tasks/index.ts'
import { systemClock } from '../util/index.ts'
import { openChildWorkspace, type Workspace } from '../workspace/index.ts'
import { type CompressParams, compressFile } from './compress-file.ts'
import { openEncoderParts } from './encoder-parts.ts'
import { importFiles } from './import.ts'
import type { HostMessage, JobEvent, JobMessage, JobOrder, SentError } from './job-messages.ts'
import type { ImportParams } from './job-params.ts'
import { type LearnParams, learn } from './learn.ts'
import { type TrainParams, trainJob } from './train-job.ts'

/** Both cores: nothing else of this process needs one while a graph runs. */
const THREADS = 2

const stop = new AbortController()

process.on('message', (message: Partial<HostMessage>) => {
  if (message.type === 'cancel') stop.abort()
  if (message.type === 'start')
    void start((message as Extract<HostMessage, { type: 'start' }>).order)
})
// Ctrl-C and service managers signal the whole group: the host hears it too and says what is to be done, or is gone itself.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
// Without its host a job has nobody to report to, and no database.
process.on('disconnect', () => process.exit(1))

async function start(order: JobOrder): Promise<void> {
  try {
    const { durability, signingKeyPath } = order.settings
    const workspace = await openChildWorkspace({
      dataDir: order.dataDir,
      describe: describeTrace,
      durability,
      channel: processChannel(process),
      ...(signingKeyPath !== null && { signingKeyPath }),
    })
    // The ledger's last records are signed and on disk before anybody is told.
    const result = await run(order, workspace).finally(() => workspace.close())
    send({ type: 'done', result })
  } catch (error) {
    send({ type: 'failed', error: sent(error) })
  }
}

function run(
  { kind, params, settings, dataDir }: JobOrder,
  workspace: Workspace,
): Promise<unknown> {
  const { signal } = stop
  const openRuntime = async () =>
    openInProcessRuntime({
      threads: THREADS,
      provider: await resolveExecutionProvider(settings.executionProvider ?? 'auto'),
    })
  if (kind === 'learn') {
    return learn(params as LearnParams, {
      workspace,
      openParts: () =>
        openEncoderParts({
          encoder: settings.encoder,
          openRuntime,
          signal,
          onEvent,
        }),
      prices: settings.prices,
      clock: systemClock,
      signal,
      onEvent,
    })
  }
  if (kind === 'compress') {
    return compressFile(params as CompressParams, {
      dataDir,
      openRuntime,
      signal,
      onEvent,
    })
  }
  if (kind === 'train') {
    return train(params as TrainParams, { settings, dataDir })
  }
  if (kind === 'import') return runImport(params as ImportParams, workspace, signal)
  throw new UnderstudyError('request-invalid', `there is no job kind "${kind}"`)
}

async function train(
  params: TrainParams,
  { settings, dataDir }: Pick<JobOrder, 'settings' | 'dataDir'>,
): Promise<unknown> {
  const provider = await resolveExecutionProvider(settings.executionProvider ?? 'auto')
  const { signal } = stop
  return trainJob(params, { dataDir, threads: THREADS, provider, signal, onEvent })
}

function runImport(
  { files, format, task, app }: ImportParams,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<unknown> {
  return importFiles(workspace, files, {
    format: format ?? undefined,
    task: task ?? undefined,
    app: app ?? undefined,
    signal,
    onProgress: onEvent,
    clock: systemClock,
  })
}

function onEvent(event: JobEvent): void {
  send({ type: 'event', event })
}

function send(message: JobMessage): void {
  process.send?.(message)
}

function sent(error: unknown): SentError {
  if (stop.signal.aborted)
    return { code: 'cancelled', message: 'the job was cancelled', help: null }
  if (isUnderstudyError(error))
    return { code: error.code, message: error.message, help: error.help ?? null }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { code: 'job-failed', message: text, help: null }
}
