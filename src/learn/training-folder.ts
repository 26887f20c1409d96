/** Where broken-off training keeps what it goes on from: one folder for each order. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../util/index.ts'

const KEPT_MS = 30 * 24 * 3600 * 1000
/** As the orders of `train` and `compress` are named; nothing else is touched. */
const STATE_NAME = /^(compress-)?[0-9a-f]{16}$/

/** The folder's path; what nobody went on with for 30 days is deleted from it. */
export async function openTrainingFolder(
  dataDir: string,
  clock: Clock = systemClock,
): Promise<string> {
  const folder = join(dataDir, 'training')
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter(one => STATE_NAME.test(one))) {
    // Every checkpoint is renamed into its folder, which changes that one's time.
    const changedMs = (await stat(join(folder, name)).catch(() => null))?.mtimeMs ?? clock.now()
    if (clock.now() - changedMs <= KEPT_MS) continue
    await rm(join(folder, name), { recursive: true, force: true }).catch(() => {})
  }
  return folder
}
