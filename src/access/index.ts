/** Layer 3: virtual keys, their limits, and what they used. */
export {
  type Access,
  type Asked,
  createAccess,
  isAllowedModel,
  type Ticket,
  type Tokens,
} from './access.ts'
export type { KeyRecord } from './key-file.ts'
export { createKeys, type Key, type Keys, openKeys } from './keys.ts'
export { memorySpend, openSpend, type Spend, type Usage } from './spend.ts'
