/** A thread that runs ONNX graphs one request after the other. Knows only messages. */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../errors.ts'
import { toWorkerError, type WorkerReply, type WorkerRequest } from './inference-messages.ts'
import { createOnnxSessions, type OnnxSessions, type SessionSettings } from './onnx-sessions.ts'
import type { Tensor } from './types.ts'

assert(parentPort !== null, 'the inference worker was not started as a worker')
const port = parentPort
const sessions = createOnnxSessions(workerData as SessionSettings)
// Each request awaits `sessions` itself and reports a failure there.
sessions.catch(() => {})

let last: Promise<void> = Promise.resolve()
port.on('message', (request: WorkerRequest) => {
  last = last.then(() => answer(request))
})

async function answer(request: WorkerRequest): Promise<void> {
  if (request.kind === 'close') return close()
  try {
    const outputs = await perform(await sessions, request)
    const buffers = Object.values(outputs).map(tensor => tensor.data.buffer as ArrayBuffer)
    port.postMessage({ id: request.id, outputs } satisfies WorkerReply, [...new Set(buffers)])
  } catch (error) {
    port.postMessage({ id: request.id, error: toWorkerError(error) } satisfies WorkerReply)
  }
}

async function close(): Promise<void> {
  await sessions.then(
    onnx => onnx.close(),
    () => {},
  )
  // Nothing else keeps this thread alive.
  port.close()
}

async function perform(
  onnx: OnnxSessions,
  request: Exclude<WorkerRequest, { kind: 'close' }>,
): Promise<Readonly<Record<string, Tensor>>> {
  switch (request.kind) {
    case 'load':
      // A copy that lives only now: ONNX Runtime's binding refuses shared memory.
      await onnx.load(request.session, new Uint8Array(request.model))
      return {}
    case 'unload':
      await onnx.unload(request.session)
      return {}
    case 'run':
      return onnx.run(request.calls, request.outputs)
  }
}
