/** The kinds of long work that the gateway offers. Each runs in a process of its own. */
import {
  type JobEvent,
  type JobSettings,
  parseCompressParams,
  parseImportParams,
  parseLearnParams,
  parseTrainParams,
  runInProcess,
} from '../learn/index.ts'
import type { House } from './compose.ts'
import type { JobRunner, JobTools } from './jobs.ts'

/** Jobs by kind, for `POST /understudy/v1/jobs`. */
export function createWork(house: House): Readonly<Record<string, JobRunner>> {
  const { workspace, refreshLive } = house
  // Of the start, also after a reload: learned on and served by must be one.
  const { encoder, executionProvider } = house.config.settings
  const settings = (): JobSettings => ({
    durability: house.config.settings.durability === 'sync' ? 'sync' : 'group',
    prices: house.config.prices,
    signingKeyPath: null,
    encoder,
    executionProvider,
  })
  let last: Promise<unknown> = Promise.resolve()
  let turnCount = 0

  /** One at a time: two imports at once would both find a line new, two learners would both spend the same look. */
  const inTurn = (tools: JobTools, work: () => Promise<unknown>): Promise<unknown> => {
    if (turnCount++ > 0) {
      tools.onEvent({ stage: 'waiting for another job', done: 0, total: 0 } satisfies JobEvent)
    }
    const turn = last.then(work).finally(() => {
      turnCount--
    })
    last = turn.catch(() => undefined)
    return turn
  }
  const inProcess = (kind: string, params: unknown, { signal, onEvent }: JobTools) =>
    runInProcess(
      { kind, params, dataDir: workspace.dataDir, settings: settings() },
      { workspace, priority: house.config.settings.jobPriority, signal, onEvent },
    )
  return {
    compress(value, tools) {
      const params = parseCompressParams(value, house.config.settings)
      return inTurn(tools, () => inProcess('compress', params, tools))
    },
    import(value, tools) {
      const params = parseImportParams(value)
      return inTurn(tools, () => inProcess('import', params, tools))
    },
    train(value, tools) {
      const params = parseTrainParams(value)
      return inTurn(tools, () => inProcess('train', params, tools))
    },
    learn(value, tools) {
      const params = parseLearnParams(value, house.config.settings)
      return inTurn(tools, async () => {
        try {
          return await inProcess('learn', params, tools)
        } finally {
          // Also after a failure: what was promoted before it is live.
          await workspace.catchUp()
          await refreshLive()
        }
      })
    },
  }
}
