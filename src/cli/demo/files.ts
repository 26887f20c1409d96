/** Writes generated days as log files, and keeps their truths apart. Knows no gateway. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { type DayOptions, generateLabelledDay, type LabelledLine } from '../../demo/index.ts'

/**
 * Writes a day as a native log; the truths are not in it.
 * @returns bytes written
 */
export async function writeDay(path: string, options: DayOptions): Promise<number> {
  const file = createWriteStream(path)
  const done = finished(file)
  // An unwritable disk is reported by the await below, not as an unhandled rejection meanwhile.
  done.catch(() => {})
  for (const { line } of generateLabelledDay(options)) {
    if (!file.write(`${JSON.stringify(line)}\n`)) await Promise.race([once(file, 'drain'), done])
  }
  file.end()
  await done
  return file.bytesWritten
}

/** The same day again, with what only the generator knows. */
export function labelledDay(options: DayOptions): readonly LabelledLine[] {
  return [...generateLabelledDay(options)]
}
