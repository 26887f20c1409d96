/** Keys and limits as a gateway opens them: from a data folder, or in memory. */
import { join } from 'node:path'
import {
  type Access,
  addUsage,
  createAccess,
  createKeys,
  type Keys,
  memorySpend,
  openKeys,
  openSpend,
  type PeerSpend,
  type Spend,
  watchPeerSpend,
} from '../access/index.ts'
import { type Config, type ConfigKey, keyRules } from '../config/index.ts'
import type { Clock } from '../util/index.ts'
import type { GatewayContext } from './context.ts'

/** In the data folder: keys without their secrets, and what they used. */
const FOLDER = 'access'

/** How late limits and budgets may hear of what another worker answered. */
const PEERS_MS = 250

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
    timeoutMs,
    worker = null,
  }: {
    keys: Keys
    prices: Config['prices']
    clock: Clock
    log: (text: string) => void
    /** Longest that an answer waits for its count. */
    timeoutMs: number
    /** Each worker writes its own totals, and reads those of the others. */
    worker?: number | null
  },
): Promise<Access> {
  const root = join(dataDir, FOLDER)
  const own = worker === null ? 'spend' : `spend-${worker}`
  const spend = await openSpend(join(root, own), { log, timeoutMs })
  let access: Access | null = null
  const peers = await watchPeerSpend({
    root,
    own,
    everyMs: PEERS_MS,
    onUsage: (key, usage) => access?.noteElsewhere(key, usage),
  })
  access = createAccess({ keys, spend: together(spend, peers), prices, clock })
  return access
}

/** What this process and its peers used, as one. */
function together(spend: Spend, peers: PeerSpend): Spend {
  return {
    add: spend.add,
    get state() {
      return spend.state
    },
    since: (key, day) => addUsage(spend.since(key, day), peers.since(key, day)),
    async close() {
      peers.close()
      await spend.close()
    },
  }
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
