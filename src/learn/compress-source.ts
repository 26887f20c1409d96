/** The model that is to be compressed: read, and found fit for rows of text and label. Knows no variants. */
import { stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import {
  COMPRESSED_MANIFEST,
  ensureModel,
  type ModelFolder,
  readModelFolder,
} from '../models/index.ts'
import { readRunSummary, textsHash } from '../train/index.ts'
import { DEFAULT_ENCODER } from './encoder-parts.ts'
import type { JobEvent } from './job-messages.ts'

export interface CompressSource {
  readonly model: ModelFolder
  /** Names of its classifier's outputs; null where it is an encoder without one. */
  readonly labels: readonly string[] | null
  /** Whether `train` fitted it to these very texts, all together; null where a run does not say what it was fitted to. */
  readonly hasSeen: (texts: readonly string[]) => boolean | null
}

/**
 * @param model absolute path of a folder, a name of the catalog, or null for the encoder that `learn` uses
 * @throws model-unavailable, model-corrupt; usage-invalid for a model of another kind of task
 */
export async function openCompressSource(
  model: string | null,
  tools: { readonly signal: AbortSignal; readonly onEvent: (event: JobEvent) => void },
): Promise<CompressSource> {
  const folder = await modelFolder(model, tools)
  if ((await stat(join(folder, COMPRESSED_MANIFEST)).catch(() => null)) !== null) {
    throw unfit(`${folder} is compressed already`, 'Name the folder that it was made of.')
  }
  const read = await readModelFolder(folder)
  const run = readRunSummary(read.run)
  const { classifier, labels, problem = 'single-label' } = read
  if (problem !== 'single-label' || (run !== null && run.task !== 'label')) {
    const what = run?.task === 'pair' ? 'pairs of texts' : problem.replace('-', ' ')
    throw unfit(
      `${folder} is a model of ${what}`,
      'Only models that give a text one label are compressed.',
    )
  }
  if (classifier === undefined && labels !== undefined) {
    throw corrupt(`${folder} names ${labels.length} labels and has no classifier`)
  }
  if (classifier !== undefined && labels === undefined) {
    throw corrupt(
      `${folder} has a classifier whose ${classifier.bias.length} outputs have no names`,
    )
  }
  return {
    model: read,
    labels: labels ?? null,
    hasSeen: texts => {
      if (run === null) return false
      return run.textsHash === null ? null : run.textsHash === textsHash(texts)
    },
  }
}

/** Labels in the order of the model's outputs. @throws usage-invalid where rows have a label that the model lacks */
export function labelsFor(
  { labels }: CompressSource,
  rowLabels: readonly string[],
): readonly string[] {
  const found = [...new Set(rowLabels)].sort()
  if (labels === null) {
    if (found.length > 1) return found
    throw unfit('the rows have only one label', 'Give rows of at least two labels.')
  }
  const known = new Set(labels)
  const unknown = found.filter(label => !known.has(label))
  if (unknown.length === 0) return labels
  const shown = (list: readonly string[]) =>
    list
      .slice(0, 5)
      .map(label => JSON.stringify(label.slice(0, 60)))
      .join(', ') + (list.length > 5 ? ', …' : '')
  throw unfit(
    `the rows have ${unknown.length} ${unknown.length === 1 ? 'label' : 'labels'} that the model does not know (${shown(unknown)}); it knows ${shown(labels)}`,
    'Give rows of the task that the model was trained on.',
  )
}

async function modelFolder(
  model: string | null,
  { signal, onEvent }: Parameters<typeof openCompressSource>[1],
): Promise<string> {
  if (model !== null && isAbsolute(model)) return model
  const { dir } = await ensureModel(model ?? DEFAULT_ENCODER, {
    signal,
    onProgress: ({ model: note, doneBytes: done, totalBytes: total }) =>
      onEvent({ stage: 'download', done, total, note, unit: 'bytes' }),
  })
  return dir
}

function unfit(what: string, help: string): UnderstudyError {
  return new UnderstudyError('usage-invalid', `This model cannot be compressed: ${what}`, { help })
}

function corrupt(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `This model cannot be compressed: ${what}`, {
    help: 'Name a folder as understudy train writes it, or an encoder without labels.',
  })
}
