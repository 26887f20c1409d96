/** Progress of long work on standard error: one live line per stage on a terminal, a line now and then in a log. */
import { type Clock, clip, systemClock } from '../util/index.ts'
import type { Terminal } from './command.ts'

export interface Progress {
  /**
   * Says how far a stage is. A new stage name ends the line of the one before.
   * @param total 0 where unknown: then counts and rate are shown, no bar, and nothing where nothing is counted
   * @param unit what `done` counts; `bytes` are shown as MB
   */
  update(stage: string, done: number, total: number, note?: string, unit?: 'bytes'): void
  /** Ends the live line; the summary, where given, stays below it. */
  finish(summary?: string): void
}

const TTY_INTERVAL_MS = 100
const LOG_INTERVAL_MS = 5000
const BAR_WIDTH = 24
/** A shorter bar says nothing that the percentage does not. */
const LEAST_BAR_WIDTH = 4
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

  // One column is left free: a line that fills the terminal wraps in some.
  const width = (): number =>
    terminal.isTty ? Math.max(20, terminal.columns - 1) : Number.POSITIVE_INFINITY
  const show = (shown: Stage, nowMs: number): void => {
    shown.shownMs = nowMs
    shown.shownLine = shown.line
    terminal.err(terminal.isTty ? `\r\x1b[2K${clip(shown.line, width())}` : `${shown.line}\n`)
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
      stage.line = renderLine(stage, { done, total, note, unit }, width())
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

/** Where the width does not hold all, the bar gets shorter, then goes, then the counts and their rate: the note is what is new. */
function renderLine(stage: Stage, { done, total, note = '', unit }: Amount, width: number): string {
  const rate = ratePerSecond(stage)
  const hasTotal = total > 0
  const counts = hasTotal ? `${amount(done, unit)}/${amount(total, unit)}` : amount(done, unit)
  const before = [stage.name.padEnd(12)]
  const percent = hasTotal ? [`${Math.floor((100 * Math.min(done, total)) / total)} %`] : []
  const counted = [
    ...(hasTotal || done > 0 ? [counts] : []),
    ...(rate > 0 ? [`${amount(rate, unit)}/s`] : []),
  ]
  const after = [
    ...(rate > 0 && total > done ? [`${durationText((total - done) / rate)} left`] : []),
    ...(note === '' ? [] : [note]),
  ]
  const line = (...middle: string[]) => [...before, ...middle, ...after].join('  ').trimEnd()
  const full = line(...percent, ...counted)
  const barWidth = Math.min(BAR_WIDTH, width - full.length - 2)
  if (hasTotal && barWidth >= LEAST_BAR_WIDTH) {
    return line(bar(done / total, barWidth), ...percent, ...counted)
  }
  return hasTotal && full.length > width ? line(...percent) : full
}

function ratePerSecond({ samples }: Stage): number {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined || last.ms <= first.ms) return 0
  return ((last.done - first.done) * 1000) / (last.ms - first.ms)
}

function bar(share: number, width: number): string {
  const filled = Math.round(width * Math.min(1, Math.max(0, share)))
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
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
