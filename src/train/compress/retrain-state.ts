/** What a broken-off training of a smaller model needs to go on: its recipe, its checkpoint, or its result. Knows no training. */
import { join } from 'node:path'
import { z } from 'zod'
import { readSafetensors } from '../../formats/index.ts'
import { readClassifier, readEncoderWeights, writeEncoderWeights } from '../../models/index.ts'
import { parseRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { makeStateFolder, readState, writeState } from '../state-folder.ts'
import type { CompressibleModel } from './compress-types.ts'

/** What depends on timing, and so must not be decided anew. */
export interface RetrainPlan {
  readonly recipe: Recipe
  /** Rows that are trained on: all, or those that one pass has time for. */
  readonly rowCount: number
}

/** Files of one training; those of another `identity` count as none. */
export interface RetrainState {
  readonly checkpointPath: string
  readPlan(identity: string): Promise<RetrainPlan | null>
  writePlan(identity: string, plan: RetrainPlan): Promise<void>
  /** The model given with the weights and the classifier that training ended with. */
  readDone(identity: string, model: CompressibleModel): Promise<CompressibleModel | null>
  writeDone(identity: string, model: CompressibleModel): Promise<void>
}

const planSchema = z.object({ recipe: z.unknown(), rowCount: z.int().min(1) })

/** @throws file-unreadable, here and by its methods, when the folder cannot be made, read or written */
export async function openRetrainState(folder: string): Promise<RetrainState> {
  await makeStateFolder(folder)
  const path = (identity: string, ending: string) => join(folder, `${identity}.${ending}`)
  return {
    checkpointPath: join(folder, 'checkpoint.safetensors'),
    async readPlan(identity) {
      const bytes = await readState(path(identity, 'json'))
      if (bytes === null) return null
      try {
        const { recipe, rowCount } = planSchema.parse(JSON.parse(bytes.toString('utf8')))
        return { recipe: parseRecipe(recipe), rowCount }
      } catch {
        // Damaged: decided anew, as if it had not been written.
        return null
      }
    },
    writePlan: (identity, plan) => writeState(path(identity, 'json'), JSON.stringify(plan)),
    async readDone(identity, model) {
      const bytes = await readState(path(identity, 'safetensors'))
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
      writeState(
        path(identity, 'safetensors'),
        writeEncoderWeights(weights, config, { classifier }),
      ),
  }
}
