/** A child of the owner: records through its own writer, projects through the owner's database, then says so or hangs. */
import { processChannel } from '../../dist/store/index.js'
import { openChildWorkspace } from '../../dist/workspace/index.js'
import { trace } from './traces.mjs'

const [dataDir, signingKeyPath, name, ending] = process.argv.slice(2)
const describe = () => ({
  model: null,
  promptTokens: null,
  completionTokens: null,
  task: null,
  inputHash: null,
  isIndependent: false,
})
const workspace = await openChildWorkspace({
  dataDir,
  describe,
  signingKeyPath,
  channel: processChannel(process),
})
await workspace.appendAndProject([trace(`${name}-1`), trace(`${name}-2`)])
const known = await workspace.store.knownIdentities([`${name}-1`, 'other'])
if (ending === 'hang') {
  // Recorded, and killed before it is projected.
  process.stdout.write(`${JSON.stringify(await workspace.append(trace(`${name}-3`)))}\n`)
  process.kill(process.pid, 'SIGKILL')
}
await workspace.close()
process.send({ known: [...known.keys()] })
process.disconnect()
