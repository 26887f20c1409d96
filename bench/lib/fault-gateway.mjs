/** The gateway under a fault run: `understudy up` with workers in a process group of its own, killed in part or whole. */
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const HOOKS = new URL('./fault-hooks.mjs', import.meta.url).href
const READY_WITHIN_MS = 120_000

const configurationOf = url => `
lead: main
upstreams:
  main:
    url: ${url}
    timeouts: {connect: 1s, first-token: 1500ms, idle: 1500ms}
    retries: 1
    breaker: {failures: 20, open-for: 300ms}
routes:
  safe:
    to: [{upstream: main}]
    fallbacks: [{upstream: main, model: spare}]
`

/** Pids and resident bytes of the processes whose parent this is. */
function childrenOf(pid) {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
  return rows.split('\n').flatMap(row => {
    const [, child, parent, args = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row) ?? []
    return Number(parent) === pid && args.includes('worker-process') ? [Number(child)] : []
  })
}

function residentBytes(pid) {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
  } catch {
    return 0
  }
}

/** `folder` holds data, configuration and control file; the lead's address is written into the configuration. */
export function openFaultGateway({ folder, leadUrl, workers }) {
  const control = { offsetMs: 0, databaseKills: 0 }
  const controlFile = join(folder, 'control.json')
  const configFile = join(folder, 'understudy.yaml')
  const tell = () => writeFileSync(controlFile, JSON.stringify(control))
  tell()
  writeFileSync(configFile, configurationOf(leadUrl))
  const log = []
  let child = null
  let exited = Promise.resolve()
  let port = 0
  let address = ''

  const start = async () => {
    const args = ['up', '--data', join(folder, 'data'), '--config', configFile]
    child = spawn(
      process.execPath,
      [BIN, ...args, '--port', String(port), '--workers', String(workers)],
      {
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          XDG_CONFIG_HOME: join(folder, 'config'),
          UNDERSTUDY_OFFLINE: '1',
          UNDERSTUDY_LOG_LEVEL: 'error',
          FAULT_CONTROL: controlFile,
          NODE_OPTIONS: `--import ${HOOKS}`,
        },
      },
    )
    const own = child
    own.stderr.setEncoding('utf8').on('data', text => log.length < 1000 && log.push(text))
    exited = new Promise(resolve => own.once('exit', (code, signal) => resolve({ code, signal })))
    address = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the gateway is not ready')), READY_WITHIN_MS)
      own.stdout.setEncoding('utf8').on('data', text => {
        const found = /http:\/\/[\d.:]+/.exec(text)?.[0]
        if (found === undefined) return
        clearTimeout(timer)
        resolve(found)
      })
      own.once('exit', code =>
        reject(new Error(`the gateway ended with ${code}: ${log.slice(-5).join('')}`)),
      )
    })
    port = Number(new URL(address).port)
  }

  /** Those that answer. */
  const workerCount = async () => {
    const signal = AbortSignal.timeout(5_000)
    const answer = await fetch(`${address}/understudy/v1/status`, { signal }).catch(() => null)
    return answer?.status === 200 ? (await answer.json()).workers : 0
  }

  return {
    log,
    start,
    get address() {
      return address
    },
    residentBytes: () =>
      [child.pid, ...childrenOf(child.pid)].reduce((sum, pid) => sum + residentBytes(pid), 0),
    jumpClock(ms) {
      control.offsetMs += ms
      tell()
    },
    killDatabase() {
      control.databaseKills++
      tell()
    },
    /** Kills one while all answer: with the last worker the port would be gone. Resolves with the moment. */
    async killWorker(pick) {
      const deadlineMs = performance.now() + READY_WITHIN_MS
      while ((await workerCount()) < workers) {
        if (performance.now() > deadlineMs) throw new Error('killed workers are not replaced')
        await sleep(250)
      }
      const killedMs = performance.now()
      process.kill(pick(childrenOf(child.pid)), 'SIGKILL')
      return killedMs
    },
    async killAll() {
      process.kill(-child.pid, 'SIGKILL')
      await exited
      await sleep(50)
    },
    /** Asked to end; its exit code. */
    async stop() {
      child.kill('SIGTERM')
      return (await exited).code
    },
    cleanUp() {
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch {
        // All of them are gone.
      }
    },
  }
}
