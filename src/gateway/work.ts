/** The kinds of long work that the gateway offers. Each runs in a process of its own. */
import {
  type JobEvent,
  type JobSettings,
  parseImportParams,
  parseLearnParams,
  runInProcess,
} from '../learn/index.ts'
import type { House } from './compose.ts'
import type { JobRunner } from './jobs.ts'

/** Jobs by kind, for `POST /understudy/v1/jobs`. */
export function createWork({
  workspace,
  config,
  refreshLive,
}: House): Readonly<Record<string, JobRunner>> {
  const settings: JobSettings = {
    durability: config.settings.durability === 'sync' ? 'sync' : 'group',
    prices: config.prices,
    signingKeyPath: null,
  }
  const inProcess =
    (kind: string, parse: (params: unknown) => unknown): JobRunner =>
    (params, { signal, onEvent }) =>
      runInProcess(
        { kind, params: parse(params), dataDir: workspace.dataDir, settings },
        { workspace, signal, onEvent: (event: JobEvent) => onEvent(event) },
      )
  const learn = inProcess('learn', parseLearnParams)
  return {
    import: inProcess('import', parseImportParams),
    async learn(params, tools) {
      const report = await learn(params, tools)
      await workspace.catchUp()
      await refreshLive()
      return report
    },
  }
}
