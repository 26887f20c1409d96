/** Progress of long work on standard error: one live line per stage on a terminal, a line now and then in a log. */
import { type Clock, clip, systemClock } from '../util/index.ts'
import type { Terminal } from './command.ts'

export interface Progress {
  /**
   * Says how far a stage is. A new stage name ends the line of the one before.
   * @param total 0 where unknown: then counts and rate are shown, no bar
   * @param unit what `done` counts; `bytes` are shown as MB
   */
  update(stage: string, done: number, total: number, note?: string, unit?: 'bytes'): void
  /** Ends the live line; the summary, where given, stays below it. */
  finish(summary?: string): void
}

const TTY_INTERVAL_MS = 100
const LOG_INTERVAL_MS = 5000
const BAR_WIDTH = 24
/** Enough of the recent past to follow a change of pace, and not so little that the estimate jumps. */
const RATE_WINDOW_MS = 10_000

interface Stage {
  readonly name: string
  readonly startMs: number
  /** Recent (time, done) pairs, oldest first. */
  readonly samples: { readonly ms: number; readonly done: number }[]
  shownMs: number
  line: string
  shownLine: string | null
}

/** Starts a progress display on the terminal's standard error; never writes to standard output. */
export function createProgress(terminal: Terminal, clock: Clock = systemClock): Progress {
  const intervalMs = terminal.isTty ? TTY_INTERVAL_MS : LOG_INTERVAL_MS
  let stage: Stage | null = null

  const show = (shown: Stage, nowMs: number): void => {
    shown.shownMs = nowMs
    shown.shownLine = shown.line
    // One column is left free: a line that fills the terminal wraps in some.
    const line = terminal.isTty ? clip(shown.line, Math.max(20, terminal.columns - 1)) : shown.line
    terminal.err(terminal.isTty ? `\r\x1b[2K${line}` : `${line}\n`)
  }
  const endStage = (nowMs: number): void => {
    if (stage === null) return
    if (stage.line !== stage.shownLine) show(stage, nowMs)
    if (terminal.isTty) terminal.err('\n')
    stage = null
  }

  return {
    update(name, done, total, note, unit) {
      const nowMs = clock.monotonic()
      if (stage?.name !== name) {
        endStage(nowMs)
        stage = { name, startMs: nowMs, samples: [], shownMs: 0, line: '', shownLine: null }
      }
      addSample(stage, nowMs, done)
      stage.line = renderLine(stage, { done, total, note, unit })
      if (stage.shownLine === null || nowMs - stage.shownMs >= intervalMs) show(stage, nowMs)
    },
    finish(summary) {
      endStage(clock.monotonic())
      if (summary !== undefined) terminal.err(`${summary}\n`)
    },
  }
}

function addSample(stage: Stage, ms: number, done: number): void {
  stage.samples.push({ ms, done })
  while (stage.samples.length > 2 && ms - (stage.samples[0]?.ms ?? ms) > RATE_WINDOW_MS) {
    stage.samples.shift()
  }
}

interface Amount {
  readonly done: number
  readonly total: number
  readonly note: string | undefined
  readonly unit: 'bytes' | undefined
}

function renderLine(stage: Stage, { done, total, note, unit }: Amount): string {
  const rate = ratePerSecond(stage)
  const parts = [stage.name.padEnd(12)]
  if (total > 0)
    parts.push(bar(done / total), `${Math.floor((100 * Math.min(done, total)) / total)} %`)
  parts.push(total > 0 ? `${amount(done, unit)}/${amount(total, unit)}` : amount(done, unit))
  if (rate > 0) parts.push(`${amount(rate, unit)}/s`)
  if (rate > 0 && total > done) parts.push(`${durationText((total - done) / rate)} left`)
  if (note !== undefined && note !== '') parts.push(note)
  return parts.join('  ')
}

function ratePerSecond({ samples }: Stage): number {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined || last.ms <= first.ms) return 0
  return ((last.done - first.done) * 1000) / (last.ms - first.ms)
}

function bar(share: number): string {
  const filled = Math.round(BAR_WIDTH * Math.min(1, Math.max(0, share)))
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`
}

function amount(value: number, unit: 'bytes' | undefined): string {
  if (unit === 'bytes') return `${(value / 1e6).toFixed(1)} MB`
  return value < 10 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value))
}

/** `42 s`, `3 min 05 s`, `2 h 10 min`. */
export function durationText(seconds: number): string {
  const whole = Math.ceil(seconds)
  const twoDigits = (value: number): string => String(value).padStart(2, '0')
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${twoDigits(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${twoDigits(Math.floor((whole % 3600) / 60))} min`
}
