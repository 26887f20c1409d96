/** Loads the native part of an installed llama.cpp runtime and ends well if that works. Run as a process of its own. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { computeLayer, type LlamaModule } from './llama-binding.ts'

const require = createRequire(join(process.argv[2] ?? '.', 'package.json'))
const module = (await import(pathToFileURL(require.resolve('node-llama-cpp')).href)) as LlamaModule
await module.getLlama({
  gpu: computeLayer(process.platform, process.arch),
  build: 'never',
  skipDownload: true,
  progressLogs: false,
  logLevel: 'error',
  maxThreads: 1,
})
process.exit(0)
