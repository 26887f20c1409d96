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
  workers: {
    type: 'number',
    default: 1,
    min: 1,
    max: 256,
    isWhole: true,
    env: 'UNDERSTUDY_WORKERS',
    help: 'Processes that serve the port. Limits on requests at once hold for each of them.',
  },
  recordTimeoutMs: {
    type: 'number',
    default: 1000,
    min: 1,
    max: 60_000,
    isWhole: true,
    env: 'UNDERSTUDY_RECORD_TIMEOUT_MS',
    help: 'Longest that an answer waits for its record, in milliseconds; then it goes out without a decision id.',
  },
  maxConcurrent: {
    type: 'number',
    default: 4096,
    min: 1,
    max: 1_000_000,
    isWhole: true,
    env: 'UNDERSTUDY_MAX_CONCURRENT',
    help: 'Requests answered at once, per worker; the next ones wait.',
  },
  maxQueued: {
    type: 'number',
    default: 1024,
    min: 0,
    max: 1_000_000,
    isWhole: true,
    env: 'UNDERSTUDY_MAX_QUEUED',
    help: 'Requests that may wait for their turn, per worker; the next ones are answered 503.',
  },
  queueTimeoutMs: {
    type: 'number',
    default: 10_000,
    min: 1,
    max: 600_000,
    isWhole: true,
    env: 'UNDERSTUDY_QUEUE_TIMEOUT_MS',
    help: 'Longest wait for a turn, in milliseconds; then the request is answered 503.',
  },
  drainSeconds: {
    type: 'number',
    default: 30,
    min: 0,
    max: 3600,
    env: 'UNDERSTUDY_DRAIN_SECONDS',
    help: 'How long answers under way may take to end once the gateway was told to stop.',
  },
  logFormat: {
    type: 'choice',
    default: 'text',
    choices: ['text', 'json'],
    env: 'UNDERSTUDY_LOG_FORMAT',
    help: 'Log lines for people, or one JSON object each.',
  },
  logLevel: {
    type: 'choice',
    default: 'info',
    choices: ['error', 'warn', 'info', 'debug'],
    env: 'UNDERSTUDY_LOG_LEVEL',
    help: 'What is logged: failed requests from warn on, refused ones from info on, every one with debug.',
  },
  encoder: {
    type: 'text',
    default: null,
    env: 'UNDERSTUDY_ENCODER',
    help: 'Encoder of specialists, learned and served: an absolute folder of train or compress; all-minilm-l6-v2 when not set.',
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
  executionProvider: {
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'cpu', 'cuda', 'tensorrt', 'dml', 'coreml', 'webgpu'],
    env: 'UNDERSTUDY_EXECUTION_PROVIDER',
    help: 'What computes models: auto takes CUDA where its libraries are, else the CPU.',
  },
  jobPriority: {
    type: 'choice',
    default: 'idle',
    choices: ['idle', 'low', 'normal'],
    env: 'UNDERSTUDY_JOB_PRIORITY',
    help: 'Processor time of jobs: idle takes only what nothing else wants (Linux; elsewhere low), low the least share, normal an equal one.',
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
