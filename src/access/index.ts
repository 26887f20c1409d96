/** Layer 3: virtual keys, their limits, and what they used. */
export {
  type Access,
  type Asked,
  createAccess,
  isAllowedModel,
  type Settled,
  type Ticket,
  type Tokens,
} from './access.ts'
export type { KeyRecord } from './key-file.ts'
export { createKeys, type Key, type Keys, openKeys } from './keys.ts'
export { type PeerSpend, watchPeerSpend } from './peer-spend.ts'
export { memorySpend, openSpend, type Spend, type SpendState } from './spend.ts'
export { addUsage, type Usage } from './spend-totals.ts'
