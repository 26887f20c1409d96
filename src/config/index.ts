/** Layer 2: settings, upstreams and routes, keys, prices. */
export { parseKeyRequest } from './key-request.ts'
export { type BudgetPeriod, type ConfigKey, type KeyRole, type KeyRules, keyRules } from './keys.ts'
export {
  type Config,
  type ConfigSource,
  configHash,
  configPath,
  type DeclaredTask,
  isSecret,
  loadConfig,
} from './load.ts'
export {
  DEFAULT_PRICES,
  type ModelPrice,
  PRICES_AS_OF,
  type PriceTable,
  priceOf,
} from './prices.ts'
export {
  type ApiKind,
  type CacheConfig,
  DEFAULT_TIMEOUTS,
  type RouteCache,
  type RouteConfig,
  type RouteTarget,
  type UpstreamConfig,
  type UpstreamTimeouts,
} from './routing.ts'
export { configJsonSchema, keyRulesSchema } from './schema.ts'
export {
  fileName,
  SETTINGS,
  type SettingName,
  type SettingSpec,
  type Settings,
} from './settings.ts'
