/** What a broken-off training of a smaller model needs to go on: its recipe, its checkpoint, or its result. Knows no training. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../../errors.ts'
import { readSafetensors } from '../../formats/index.ts'
import { readClassifier, readEncoderWeights, writeEncoderWeights } from '../../models/index.ts'
import { writeFileAtomic } from '../../platform/index.ts'
import { parseRecipe, type Recipe } from '../fine-tune/recipe.ts'
import type { CompressibleModel } from './compress-types.ts'

/** Files of one training; those of another `identity` count as none. */
export interface RetrainState {
  readonly checkpointPath: string
  readRecipe(identity: string): Promise<Recipe | null>
  /** The number of epochs depends on timing, so it must not be decided anew. */
  writeRecipe(identity: string, recipe: Recipe): Promise<void>
  /** The model given with the weights and the classifier that training ended with. */
  readDone(identity: string, model: CompressibleModel): Promise<CompressibleModel | null>
  writeDone(identity: string, model: CompressibleModel): Promise<void>
}

/** @throws file-unreadable when the folder cannot be made */
export async function openRetrainState(folder: string): Promise<RetrainState> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (cause) {
    throw new UnderstudyError('file-unreadable', `${folder} cannot be written.`, {
      help: 'Check free space and permissions of the data folder.',
      cause,
    })
  }
  const path = (identity: string, ending: string) => join(folder, `${identity}.${ending}`)
  return {
    checkpointPath: join(folder, 'checkpoint.safetensors'),
    async readRecipe(identity) {
      const text = await readFile(path(identity, 'json'), 'utf8').catch(() => null)
      try {
        return text === null ? null : parseRecipe(JSON.parse(text))
      } catch {
        // Damaged: decided anew, as if it had not been written.
        return null
      }
    },
    writeRecipe: (identity, recipe) =>
      writeFileAtomic(path(identity, 'json'), JSON.stringify(recipe)),
    async readDone(identity, model) {
      const bytes = await readFile(path(identity, 'safetensors')).catch(() => null)
      if (bytes === null) return null
      try {
        const file = readSafetensors(bytes)
        const { config } = model
        const classifier = readClassifier(file.tensors, { inSize: config.hiddenSize })
        if (classifier === undefined) return null
        const weights = readEncoderWeights(file, config)
        return { ...model, weights, classifier, isNormalised: config.pooling !== 'pooler' }
      } catch {
        // Damaged: trained again.
        return null
      }
    },
    writeDone: (identity, { weights, config, classifier }) =>
      writeFileAtomic(
        path(identity, 'safetensors'),
        writeEncoderWeights(weights, config, { classifier }),
      ),
  }
}
