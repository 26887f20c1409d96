// A worker that answers loads, echoes the number of graphs it was given, and dies on a session named "die".
import { parentPort } from 'node:worker_threads'

let loadCount = 0
parentPort.on('message', ({ id, kind, calls }) => {
  if (kind === 'close') return parentPort.close()
  if (kind === 'load') loadCount++
  if (kind === 'run' && calls[0].session === 'die') process.exit(3)
  if (kind === 'run' && calls[0].session === 'throw') throw new Error('out of luck')
  const data = Int32Array.of(loadCount)
  parentPort.postMessage({ id, outputs: { loadCount: { type: 'int32', dims: [1], data } } })
})
