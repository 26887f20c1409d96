/**
 * Loaded into the processes of a gateway under test by `node --import`: moves their clock and kills their embedded database
 * when the file named by `FAULT_CONTROL` says so. `{ "offsetMs": 0, "databaseKills": 0 }`.
 */
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import threads from 'node:worker_threads'

const POLL_MS = 50
const file = process.env.FAULT_CONTROL
const RealDate = Date
let offsetMs = 0
let killsSeen = 0

globalThis.Date = new Proxy(RealDate, {
  construct: (target, values, newTarget) =>
    Reflect.construct(target, values.length > 0 ? values : [target.now() + offsetMs], newTarget),
  get: (target, name, receiver) =>
    name === 'now' ? () => target.now() + offsetMs : Reflect.get(target, name, receiver),
})

const databases = new Set()
threads.Worker = class extends threads.Worker {
  constructor(path, options) {
    super(path, options)
    if (!String(path).includes('pglite-worker')) return
    databases.add(this)
    this.once('exit', () => databases.delete(this))
  }
}
syncBuiltinESMExports()

function obey() {
  try {
    const control = JSON.parse(readFileSync(file, 'utf8'))
    offsetMs = control.offsetMs
    if (control.databaseKills > killsSeen) for (const one of databases) void one.terminate()
    killsSeen = control.databaseKills
  } catch {
    // Half-written: the next look finds it whole.
  }
}
obey()
setInterval(obey, POLL_MS).unref()
