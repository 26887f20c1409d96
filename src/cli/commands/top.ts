/** `understudy top`: what a running gateway does right now, from its public API. One snapshot where nobody watches. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UnderstudyError } from '../../errors.ts'
import type { MetricFamily } from '../../telemetry/index.ts'
import { systemClock } from '../../util/index.ts'
import { isObject } from '../../wire/index.ts'
import { lockOwner } from '../../workspace/index.ts'
import { numberOption, textOption } from '../args.ts'
import { type Client, connect, requestJson } from '../client.ts'
import type { Command, Terminal } from '../command.ts'
import { configOption, dataFolder, dataOption } from '../options.ts'
import { renderTop, type TopSample } from '../top-view.ts'

/** Cursor home, and what is below it goes. */
const REDRAW = '\u001b[H\u001b[J'
const CLEAR = '\u001b[2J'

export const topCommand: Command = {
  name: 'top',
  summary: 'Show what a running gateway does: rates, tiers, latency, escalations, money.',
  options: [
    dataOption,
    {
      name: 'every',
      type: 'string',
      placeholder: 'S',
      help: 'Seconds between two looks (default: 2). Rates are those of the time between.',
    },
    {
      name: 'once',
      type: 'boolean',
      help: 'Print one snapshot and end; so it does where the output is no terminal.',
    },
    configOption,
  ],
  examples: ['understudy top', 'understudy top --once'],
  async run(input, terminal) {
    const everyMs = 1000 * (numberOption(input, 'every', { min: 0.2, max: 3600, example: 2 }) ?? 2)
    const dataDir = dataFolder(input, terminal)
    if ((await lockOwner(dataDir)) === null) {
      throw new UnderstudyError('not-found', `No gateway runs on ${dataDir}.`, {
        help: 'Start one with `understudy up`, or name its folder with --data.',
      })
    }
    const client = await connect({
      dataDir,
      env: terminal.env,
      configFile: textOption(input, 'config'),
    })
    try {
      const isLive = terminal.isTty && input.options.once !== true
      await show(client, terminal, { everyMs, isLive })
    } finally {
      await client.close()
    }
    return 0
  },
}

async function show(
  client: Client,
  terminal: Terminal,
  { everyMs, isLive }: { readonly everyMs: number; readonly isLive: boolean },
): Promise<void> {
  let before: TopSample | null = null
  if (isLive) terminal.out(CLEAR)
  while (!terminal.signal.aborted) {
    const sample = await look(client)
    // A snapshot has nothing to compare with: it shows everything since the start.
    if (!isLive) return terminal.out(renderTop(sample, null, terminal.columns))
    terminal.out(REDRAW + renderTop(sample, before, terminal.columns))
    before = sample
    await sleep(everyMs, undefined, { signal: terminal.signal }).catch(() => undefined)
  }
}

async function look(client: Client): Promise<TopSample> {
  const status = await requestJson(client, '/understudy/v1/status')
  const metrics = await requestJson(client, '/understudy/v1/metrics')
  return {
    atMs: systemClock.monotonic(),
    nowMs: systemClock.now(),
    status: isObject(status) ? status : {},
    families: (isObject(metrics) ? metrics.data : []) as readonly MetricFamily[],
  }
}
