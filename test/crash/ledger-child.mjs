/** A process to be killed: appends as fast as it can and prints each position once it is acknowledged. */
import { openLedgerWriter } from '../../dist/ledger/index.js'
import { openWorkspace } from '../../dist/workspace/index.js'
import { trace } from './traces.mjs'

const [mode, dir, signingKeyPath] = process.argv.slice(2)

const describe = () => ({
  model: null,
  promptTokens: null,
  completionTokens: null,
  task: null,
  inputHash: null,
  isIndependent: false,
})

async function openAppend() {
  if (mode === 'workspace') {
    const workspace = await openWorkspace({ dataDir: dir, describe, signingKeyPath })
    return entry => workspace.append(entry)
  }
  const writer = await openLedgerWriter({ dir, node: 'n1', signingKeyPath, segmentBytes: 200_000 })
  return async entry => (await writer.append(entry)).position
}

const append = await openAppend()
process.stdout.write('{"ready":true}\n')
for (let n = 0; ; n++) {
  // A few at a time, as requests come in.
  await Promise.allSettled(
    [0, 1, 2].map(async k => {
      try {
        const position = await append(trace(`${process.pid}-${n}-${k}`))
        process.stdout.write(`${JSON.stringify(position)}\n`)
      } catch (error) {
        process.stdout.write(`${JSON.stringify({ code: error.code })}\n`)
      }
    }),
  )
}
