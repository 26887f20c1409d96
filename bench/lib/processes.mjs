/** Child processes of the benchmarks: `understudy up` and the stub lead, each ready when it has printed its address. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const STUB = fileURLToPath(new URL('./stub-lead.mjs', import.meta.url))

/** `{ address, readyMs, pid, stop }` of `understudy up` on a data folder. */
export function startGateway(dataDir, { lead, env = {} } = {}) {
  const args = [
    'up',
    '--data',
    dataDir,
    '--port',
    '0',
    ...(lead === undefined ? [] : ['--lead', lead]),
  ]
  return start([BIN, ...args], env)
}

/** The stub lead. */
export function startStub() {
  return start([STUB], {})
}

async function start(args, env) {
  const startMs = performance.now()
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  const exited = new Promise(resolve => child.once('exit', resolve))
  const address = await new Promise((resolve, reject) => {
    let text = ''
    child.stdout.setEncoding('utf8').on('data', part => {
      text += part
      const found = /http:\/\/[^\s]+/.exec(text)
      if (found !== null && text.includes('\n')) resolve(found[0])
    })
    exited.then(code => reject(new Error(`${args.join(' ')} ended with ${code}`)))
  })
  return {
    address,
    pid: child.pid,
    readyMs: performance.now() - startMs,
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      await exited
    },
  }
}
