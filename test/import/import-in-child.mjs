/** Opens a data folder and lets a child process import one file into it. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processChannel } from '../../dist/store/index.js'
import { describeTrace } from '../../dist/tasks/index.js'
import { openWorkspace } from '../../dist/workspace/index.js'

/** @returns the file's report, seconds, and the child's peak memory in MiB */
export async function importInChild(dataDir, path) {
  const signingKeyPath = join(dataDir, 'test-key.pem')
  const workspace = await openWorkspace({ dataDir, describe: describeTrace, signingKeyPath })
  try {
    const script = fileURLToPath(new URL('./import-child.mjs', import.meta.url))
    const child = fork(script, [dataDir, path, signingKeyPath], {
      serialization: 'advanced',
      execArgv: [],
    })
    workspace.serveChild(processChannel(child))
    return await new Promise((resolve, reject) => {
      child.on('message', message => {
        if (message.type === 'imported') resolve(message)
      })
      child.on('exit', code => reject(new Error(`the importing process ended with code ${code}`)))
    })
  } finally {
    await workspace.close()
  }
}
