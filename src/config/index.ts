/** Layer 2: settings and prices. */
export {
  type Config,
  type ConfigSource,
  configHash,
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
  fileName,
  SETTINGS,
  type SettingName,
  type SettingSpec,
  type Settings,
} from './settings.ts'
