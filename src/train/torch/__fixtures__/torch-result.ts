/** What `train.py` would leave in a job folder, for tests without PyTorch. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { float32Tensor, writeSafetensors } from '../../../formats/index.ts'
import { sha256 } from '../../../platform/index.ts'
import type { TorchJob } from '../torch-job-format.ts'

export type Files = Readonly<Record<string, string | Uint8Array>>

export async function put(folder: string, files: Files): Promise<void> {
  for (const [path, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), bytes)
  }
}

/** Safetensors of the shapes given, each filled with one value. */
export const tensors = (entries: Record<string, [number[], number]>) =>
  writeSafetensors(
    new Map(
      Object.entries(entries).map(([name, [shape, value]]) => [
        name,
        float32Tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value), shape),
      ]),
    ),
  )

/** `result/` with a head of `hiddenSize`; `files` adds to it or replaces parts, `metrics` replaces what is said of it. */
export async function writeResult(
  dir: string,
  job: TorchJob,
  {
    hiddenSize,
    files = {},
    metrics = {},
  }: {
    hiddenSize: number
    files?: Files
    metrics?: Readonly<Record<string, unknown>>
  },
): Promise<void> {
  const classCount = job.labels.length
  const all: Files = {
    'classifier.safetensors': tensors({
      'classifier.weight': [[classCount, hiddenSize], 0.1],
      'classifier.bias': [[classCount], 0],
    }),
    'selection-logits.safetensors': tensors({
      logits: [[job.data.selectionCount, classCount], 0.5],
    }),
    ...files,
  }
  const listed = Object.entries(all).map(([path, bytes]) => [
    path,
    { bytes: Buffer.from(bytes).length, hash: sha256(bytes) },
  ])
  const epoch = { loss: 1, trainingAccuracy: 0.5, selectionLoss: 1, selectionAccuracy: 1 }
  const told = {
    format: 'understudy-torch-result',
    version: 1,
    id: job.id,
    weightsHash: job.baseModel.weightsHash,
    dataHash: job.data.hash,
    trainingAccuracy: 0.5,
    selectionAccuracy: 1,
    epochs: Array.from({ length: job.recipe.epochCount }, (_, i) => ({
      epoch: i + 1,
      ...epoch,
      examplesPerSecond: 10,
    })),
    updateCount: 1,
    processCount: 1,
    device: 'cpu',
    precision: 'float32',
    versions: { torch: '2.13.0' },
    files: Object.fromEntries(listed),
    ...metrics,
  }
  await put(join(dir, 'result'), { ...all, 'metrics.json': JSON.stringify(told) })
}
