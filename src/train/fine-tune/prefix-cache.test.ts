import { expect, it } from 'vitest'
import type { TrainingRuntime } from '../../engine/index.ts'
import { readSafetensors } from '../../formats/index.ts'
import { toyFiles } from '../../models/__fixtures__/toy-bert.ts'
import { frozenModules, parseEncoderConfig, readEncoderWeights } from '../../models/index.ts'
import { startPace } from '../pace.ts'
import { computePrefix } from './prefix-cache.ts'

const files = toyFiles()
const config = parseEncoderConfig(files)
const modules = frozenModules(config, readEncoderWeights(readSafetensors(files.weights), config))

it.each([
  ['there is no memory for its states', [{ length: 2 ** 45 } as never]],
  ['the runtime fails', [[5, 6, 7]]],
])('leaves no model loaded where %s', async (_what, sequences) => {
  const loaded = new Set<string>()
  const runtime: TrainingRuntime = {
    async load(session) {
      loaded.add(session)
    },
    async unload(session) {
      loaded.delete(session)
    },
    async runInto() {
      throw new Error('failed')
    },
  }
  const pace = startPace(60_000, new AbortController().signal)
  const options = { config, modules, layerCount: 1, sequences, runtime, pace }
  await expect(computePrefix(options)).rejects.toThrow(/failed|array length/)
  expect([...loaded]).toEqual([])
})
