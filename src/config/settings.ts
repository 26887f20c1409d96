/** The table of settings: type, validation, environment variables, help and reference pages all come from it. */

interface BaseSpec {
  readonly help: string
  /** Environment variable that overrides the file. */
  readonly env: string
  /** Never shown, hashed or logged. */
  readonly isSecret?: true
}

export type SettingSpec = BaseSpec &
  (
    | { readonly type: 'text'; readonly default: string | null }
    | {
        readonly type: 'number'
        readonly default: number
        readonly min: number
        readonly max: number
        readonly isWhole?: true
      }
    | { readonly type: 'flag'; readonly default: boolean }
    | { readonly type: 'choice'; readonly default: string; readonly choices: readonly string[] }
  )

export const SETTINGS = {
  host: {
    type: 'text',
    default: '127.0.0.1',
    env: 'UNDERSTUDY_HOST',
    help: 'Address to listen on. Any other than loopback needs a key.',
  },
  port: {
    type: 'number',
    default: 8484,
    min: 0,
    max: 65535,
    isWhole: true,
    env: 'UNDERSTUDY_PORT',
    help: 'Port to listen on; 0 picks a free one.',
  },
  lead: {
    type: 'text',
    default: null,
    env: 'UNDERSTUDY_LEAD',
    help: 'The lead: a URL of an OpenAI-compatible API, replay:FILE, or local:MODEL.',
  },
  leadKey: {
    type: 'text',
    default: null,
    env: 'UNDERSTUDY_LEAD_KEY',
    isSecret: true,
    help: 'Key for the lead; without one, the caller’s Authorization goes to the lead.',
  },
  key: {
    type: 'text',
    default: null,
    env: 'UNDERSTUDY_KEY',
    isSecret: true,
    help: 'Key that callers must present; without any key, every caller is let in.',
  },
  databaseUrl: {
    type: 'text',
    default: null,
    env: 'DATABASE_URL',
    isSecret: true,
    help: 'A Postgres server for the projection; embedded when not set.',
  },
  durability: {
    type: 'choice',
    default: 'group',
    choices: ['group', 'sync'],
    env: 'UNDERSTUDY_DURABILITY',
    help: 'When records reach the disk: in groups within 50 ms, or each before the answer ends.',
  },
  maxBodyMb: {
    type: 'number',
    default: 32,
    min: 0.001,
    max: 512,
    env: 'UNDERSTUDY_MAX_BODY_MB',
    help: 'Largest request body, in MiB; a larger one is answered 413.',
  },
  targetRisk: {
    type: 'number',
    default: 0.05,
    min: 0.001,
    max: 0.5,
    env: 'UNDERSTUDY_TARGET_RISK',
    help: 'Share of the answered requests that may differ from the lead.',
  },
  confidenceLevel: {
    type: 'number',
    default: 0.9,
    min: 0.5,
    max: 0.999,
    env: 'UNDERSTUDY_CONFIDENCE_LEVEL',
    help: 'How sure a certificate’s promise has to be.',
  },
} as const satisfies Record<string, SettingSpec>

export type SettingName = keyof typeof SETTINGS

type ValueOf<Spec extends SettingSpec> = Spec extends { type: 'number' }
  ? number
  : Spec extends { type: 'flag' }
    ? boolean
    : Spec extends { type: 'choice'; choices: readonly (infer Choice)[] }
      ? Choice
      : Spec extends { default: null }
        ? string | null
        : string

/** The value of every setting. */
export type Settings = { readonly [Name in SettingName]: ValueOf<(typeof SETTINGS)[Name]> }

/** Names as the file writes them: `leadKey` is `lead-key`. */
export function fileName(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}
