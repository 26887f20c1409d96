/** The variants tried where nobody names others. */
import { BLOCK_SIZE, spreadLayers } from '../../models/index.ts'
import type { CompressibleModel, CompressVariant, Lesson } from './compress-types.ts'

/** Trained on the labels alone. */
export const HEALING: Lesson = { softShare: 0, temperature: 1 }

/** By what the teacher thinks, softened, since a fine-tuned one is nearly sure of the rows that it learned from: docs/log.md. */
export const DISTILLATION: Lesson = { softShare: 1, temperature: 2 }

/**
 * From the model as it is to the smallest; the first is what the others are compared with. int4 only where its blocks fit.
 * Distilled only from a model with a classifier: a linear head on frozen embeddings teaches less than the labels do, docs/log.md.
 */
export function defaultVariants({
  config: { layerCount, hiddenSize, intermediateSize },
  classifier,
}: Pick<CompressibleModel, 'config' | 'classifier'>): CompressVariant[] {
  const fitsBlocks = hiddenSize % BLOCK_SIZE === 0 && intermediateSize % BLOCK_SIZE === 0
  const small = { trimVocabulary: true, precision: 'int8' } as const
  const variants: CompressVariant[] = [
    { name: 'float32', precision: 'float32' },
    { name: 'int8', precision: 'int8' },
    { name: 'int4', precision: 'int4' },
    { name: 'int8, trimmed', ...small },
    { name: 'int4, trimmed', trimVocabulary: true, precision: 'int4' },
    ...shorter(layerCount).flatMap(count => {
      const name = `int8, trimmed, ${count} ${count === 1 ? 'layer' : 'layers'}`
      const cut = { ...small, keepLayers: spreadLayers(layerCount, count) }
      const healed = { name: `${name}, healed`, ...cut, lesson: HEALING }
      const distilled = { name: `${name}, distilled`, ...cut, lesson: DISTILLATION }
      return [{ name, ...cut }, healed, ...(classifier === undefined ? [] : [distilled])]
    }),
  ]
  return variants.filter(({ precision }) => fitsBlocks || precision !== 'int4')
}

/** Two thirds, half and a third of the layers. */
function shorter(layerCount: number): number[] {
  const counts = [2 / 3, 1 / 2, 1 / 3].map(share => Math.round(share * layerCount))
  return [...new Set(counts)].filter(count => count > 0 && count < layerCount)
}
