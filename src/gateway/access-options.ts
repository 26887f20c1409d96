/** Keys and limits as a gateway opens them: from a data folder, or in memory. */
import { join } from 'node:path'
import {
  type Access,
  createAccess,
  createKeys,
  type Keys,
  memorySpend,
  openKeys,
  openSpend,
} from '../access/index.ts'
import { type Config, type ConfigKey, keyRules } from '../config/index.ts'
import type { Clock } from '../util/index.ts'
import type { GatewayContext } from './context.ts'

/** In the data folder: keys without their secrets, and what they used. */
const FOLDER = 'access'

/** Only reads, so it may be called before the folder is ours. @throws file-corrupt */
export function openFolderKeys(
  dataDir: string,
  { keys }: Pick<Config, 'keys'>,
  clock: Clock,
): Promise<Keys> {
  return openKeys(join(dataDir, FOLDER, 'keys.json'), keys, clock)
}

/** @throws file-corrupt */
export async function openAccess(
  dataDir: string,
  {
    keys,
    prices,
    clock,
    log,
    worker = null,
  }: {
    keys: Keys
    prices: Config['prices']
    clock: Clock
    log: (text: string) => void
    /** Each worker counts for itself: two must not write the same totals. */
    worker?: number | null
  },
): Promise<Access> {
  const spend = await openSpend(
    join(dataDir, FOLDER, worker === null ? 'spend' : `spend-${worker}`),
    log,
  )
  return createAccess({ keys, spend, prices, clock })
}

/** Access of a gateway that was given keys alone. */
export function accessInMemory({ keys, clock }: Pick<GatewayContext, 'keys' | 'clock'>): Access {
  const configured = keys.map(
    ({ key, app, ...rules }, index): ConfigKey => ({
      ...keyRules(app === null ? {} : { app }),
      ...rules,
      key,
      name: app ?? `key-${index + 1}`,
    }),
  )
  return createAccess({
    keys: createKeys([], configured, clock, async () => {}),
    spend: memorySpend(),
    prices: {},
    clock,
  })
}
