import { describe, expect, it } from 'vitest'
import { fixedClock } from '../util/index.ts'
import { createProgress, durationText } from './progress.ts'
import { recordingTerminal } from './testing.ts'

describe('progress', () => {
  it('redraws one live line on a terminal and keeps the last state of each stage', () => {
    const terminal = recordingTerminal({ isTty: true })
    const clock = fixedClock()
    const progress = createProgress(terminal, clock)
    progress.update('import', 0, 200)
    clock.advance(1000)
    progress.update('import', 100, 200)
    clock.advance(10)
    progress.update('import', 200, 200)
    progress.update('fit', 1, 3, 'reflex')
    progress.finish('All done.')
    const { out, err } = terminal.written()
    expect(out).toBe('')
    const lines = err.split('\n')
    expect(lines).toHaveLength(4)
    expect(lines[0]?.split('\r\x1b[2K')).toHaveLength(4)
    expect(lines[0]).toContain('50 %  100/200  100/s  1 s left')
    expect(lines[0]?.split('\r').at(-1)).toContain('100 %  200/200')
    expect(lines[1]).toContain('fit')
    expect(lines[1]).toContain('reflex')
    expect(lines[2]).toBe('All done.')
  })

  it('writes a line at most every few seconds in a log, without control characters', () => {
    const terminal = recordingTerminal()
    const clock = fixedClock()
    const progress = createProgress(terminal, clock)
    for (let done = 0; done <= 200; done++) {
      progress.update('import', done, 200)
      clock.advance(100)
    }
    progress.finish()
    const { err } = terminal.written()
    expect(err).not.toContain('\r')
    const lines = err.trimEnd().split('\n')
    expect(lines).toHaveLength(5)
    expect(lines.at(-1)).toContain('200/200')
  })

  it('shows counts without a bar where the total is unknown, and bytes as megabytes', () => {
    const terminal = recordingTerminal()
    const progress = createProgress(terminal, fixedClock())
    progress.update('read', 7, 0)
    progress.update('download', 1_500_000, 3_000_000, undefined, 'bytes')
    const { err } = terminal.written()
    expect(err).toContain('read          7\n')
    expect(err).toContain('50 %  1.5 MB/3.0 MB')
  })

  it('never wraps a narrow terminal and survives more done than total', () => {
    const terminal = recordingTerminal({ isTty: true, columns: 30 })
    const progress = createProgress(terminal, fixedClock())
    progress.update('import', 500, 200, 'a long note that does not fit')
    const line = terminal.written().err.replace('\r\x1b[2K', '')
    expect(line.length).toBeLessThan(30)
  })

  it('shortens the bar, then leaves it and the counts out, before it cuts the note', () => {
    const note = 'loss 0.123, 1234 examples/s'
    const lineOf = (columns: number) => {
      const terminal = recordingTerminal({ isTty: true, columns })
      const clock = fixedClock()
      const progress = createProgress(terminal, clock)
      progress.update('full, top 2 layers', 0, 400, note)
      clock.advance(2000)
      progress.update('full, top 2 layers', 200, 400, note)
      return terminal.written().err.split('\r\x1b[2K').at(-1) ?? ''
    }
    const rest = `50 %  200/400  100/s  2 s left  ${note}`
    expect(lineOf(120)).toBe(`full, top 2 layers  ${'█'.repeat(12)}${'░'.repeat(12)}  ${rest}`)
    expect(lineOf(92)).toMatch(/^full, top 2 layers {2}[█░]{10} {2}50 %/u)
    expect(lineOf(92)).toContain(rest)
    expect(lineOf(85)).toBe(`full, top 2 layers  ${rest}`)
    expect(lineOf(80)).toBe(`full, top 2 layers  ${rest}`)
    expect(lineOf(75)).toBe(`full, top 2 layers  50 %  2 s left  ${note}`)
  })

  it('shows no number where nothing is counted', () => {
    const terminal = recordingTerminal()
    const progress = createProgress(terminal, fixedClock())
    progress.update('measuring', 0, 0, 'lora')
    progress.update('writing', 0, 0)
    expect(terminal.written().err).toBe('measuring     lora\nwriting\n')
  })

  it('names durations as people do', () => {
    expect([0.2, 59, 61, 3600, 7830].map(durationText)).toEqual([
      '1 s',
      '59 s',
      '1 min 01 s',
      '1 h 00 min',
      '2 h 10 min',
    ])
  })
})
