/** Child processes of the benchmarks: `understudy up` and the stub lead, each ready when it has printed its address. */
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const PROXY = fileURLToPath(new URL('./bare-proxy.mjs', import.meta.url))
const STUB = fileURLToPath(new URL('./stub-lead.mjs', import.meta.url))

/** `{ address, readyMs, pid, stop }` of `understudy up` on a data folder. */
export function startGateway(dataDir, { lead, env = {}, options = [], nodeOptions = [] } = {}) {
  const args = [
    'up',
    '--data',
    dataDir,
    '--port',
    '0',
    ...(lead === undefined ? [] : ['--lead', lead]),
    ...options,
  ]
  return start([...nodeOptions, BIN, ...args], env)
}

/** The stub lead, on a free port unless told. */
export function startStub(port = '0') {
  return start([STUB, port], {})
}

/** A bare reverse proxy before an address. */
export function startProxy(address) {
  return start([PROXY, address], {})
}

/** A LiteLLM proxy of one worker before an OpenAI-compatible address; `python` is that of the environment it is installed in. */
export async function startLitellm(python, { lead, folder, port }) {
  const config = join(folder, 'litellm.yaml')
  const target = { model: 'openai/*', api_base: lead, api_key: 'none' }
  writeFileSync(
    config,
    JSON.stringify({ model_list: [{ model_name: '*', litellm_params: target }] }),
  )
  const startMs = performance.now()
  const args = ['--config', config, '--host', '127.0.0.1', '--port', String(port)]
  const child = spawn(join(dirname(python), 'litellm'), [...args, '--num_workers', '1'], {
    stdio: 'ignore',
    env: {
      ...process.env,
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_LOG: 'ERROR',
      // Without a key, as the others here are: this is loopback.
      LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: 'true',
    },
  })
  killWithUs(child)
  let isGone = false
  const exited = new Promise(resolve => child.once('exit', resolve)).then(() => {
    isGone = true
  })
  child.once('error', () => {
    isGone = true
  })
  const address = `http://127.0.0.1:${port}`
  for (;;) {
    if (isGone) throw new Error(`${args.join(' ')} ended before it answered`)
    const isReady = await fetch(`${address}/health/liveliness`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isReady) break
    await sleep(200)
  }
  return {
    address,
    pid: child.pid,
    readyMs: performance.now() - startMs,
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

const children = new Set()
process.once('exit', () => {
  for (const child of children) child.kill()
})

/** A benchmark that fails leaves no process behind. */
function killWithUs(child) {
  children.add(child)
  child.once('exit', () => children.delete(child))
}

/** Processor seconds of a process so far, its threads included; null where the system does not say. */
export function processorSeconds(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /u, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return null
  }
}

/** Resident memory of a process in MB; null where the system does not say. */
export function residentMb(pid) {
  try {
    const kb = /VmRSS:\s+(\d+)/u.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Number(kb) / 1024
  } catch {
    return null
  }
}

async function start(args, env) {
  const startMs = performance.now()
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  killWithUs(child)
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
