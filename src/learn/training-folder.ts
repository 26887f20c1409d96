/** Where broken-off training keeps what it goes on from: one folder for each order. Knows no training. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../util/index.ts'

const KEPT_MS = 30 * 24 * 3600 * 1000
/** As the orders of `train` and `compress` are named; nothing else is touched. */
const STATE_NAME = /^(compress-)?[0-9a-f]{16}$/

export function trainingFolder(dataDir: string): string {
  return join(dataDir, 'training')
}

/** Deletes what nobody went on with for 30 days: for the end of a job, so that none loses what it would go on from. */
export async function sweepTrainingFolder(dataDir: string): Promise<void> {
  const folder = trainingFolder(dataDir)
  const nowMs = systemClock.now()
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter(one => STATE_NAME.test(one))) {
    // Every checkpoint is renamed into its folder, which changes that one's time.
    const changedMs = (await stat(join(folder, name)).catch(() => null))?.mtimeMs ?? nowMs
    if (nowMs - changedMs <= KEPT_MS) continue
    await rm(join(folder, name), { recursive: true, force: true }).catch(() => {})
  }
}
