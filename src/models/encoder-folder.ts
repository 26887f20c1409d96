/** An encoder from a folder, compressed or whole, named by everything in it that decides its vectors. Knows no task. */
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { sha256 } from '../platform/index.ts'
import type { InferenceRuntime } from '../runtimes/index.ts'
import { canonicalJson } from '../util/index.ts'
import { openCompressedEncoder } from './compressed.ts'
import { COMPRESSED_MANIFEST, readCompressedFolder } from './compressed-folder.ts'
import { createEncoder, type EncoderHandle } from './encoder.ts'
import { readEncoderFiles } from './encoder-files.ts'

export interface OpenedEncoderFolder {
  readonly encoder: EncoderHandle
  /** Whether it was trained on labelled rows: what certifies on such rows proves nothing. */
  readonly isTrained: boolean
}

/** @throws model-unavailable, model-corrupt, runtime-missing */
export async function openEncoderFolder(
  folder: string,
  runtime: InferenceRuntime,
): Promise<OpenedEncoderFolder> {
  const name = basename(folder)
  const has = async (file: string) => (await stat(join(folder, file)).catch(() => null)) !== null
  if (!(await has(COMPRESSED_MANIFEST))) {
    const files = await readEncoderFiles(folder)
    const encoder = await createEncoder({
      name,
      source: files,
      runtime,
      weightsHash: hashOf(files),
    })
    return { encoder, isTrained: await has('recipe.json') }
  }
  const { config, tokenizer, precision, graph, isTrained } = await readCompressedFolder(folder)
  const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)
  const encoder = await openCompressedEncoder({
    name,
    graph,
    precision,
    config,
    tokenizer: text(tokenizer.get('tokenizer.json')) ?? '',
    tokenizerConfig: text(tokenizer.get('tokenizer_config.json')),
    weightsHash: hashOf({
      ...Object.fromEntries(tokenizer),
      config: canonicalJson({ ...config }),
      graph,
    }),
    runtime,
  })
  return { encoder, isTrained }
}

/** Of all files by name: another tokenizer makes another encoder of the same weights. */
function hashOf(files: object): string {
  const hashes = Object.entries(files as Record<string, Uint8Array | string | undefined>).flatMap(
    ([name, content]) => (content === undefined ? [] : [[name, sha256(content)]]),
  )
  return sha256(canonicalJson(Object.fromEntries(hashes)))
}
