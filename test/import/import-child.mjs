/** Imports one file as a job does: in a process of its own, whose database is its parent's. Reports its peak memory. */
import { importFiles } from '../../dist/learn/index.js'
import { processChannel } from '../../dist/store/index.js'
import { describeTrace } from '../../dist/tasks/index.js'
import { openChildWorkspace } from '../../dist/workspace/index.js'

const [dataDir, path, keyPath] = process.argv.slice(2)
const workspace = await openChildWorkspace({
  dataDir,
  describe: describeTrace,
  channel: processChannel(process),
  signingKeyPath: keyPath,
})
const { signal } = new AbortController()
const started = performance.now()
const { files } = await importFiles(workspace, [path], { signal })
const seconds = (performance.now() - started) / 1000
await workspace.close()
// maxRSS is in kilobytes.
const peakMb = process.resourceUsage().maxRSS / 1024
process.send({ type: 'imported', report: files[0], seconds, peakMb }, () => process.disconnect())
