/** The variants tried where nobody names others. */
import { BLOCK_SIZE, type EncoderConfig, spreadLayers } from '../../models/index.ts'
import type { CompressVariant } from './compress-types.ts'

/** From the model as it is to the smallest; the first is what the others are compared with. int4 only where its blocks fit. */
export function defaultVariants({
  layerCount,
  hiddenSize,
  intermediateSize,
}: EncoderConfig): CompressVariant[] {
  const fitsBlocks = hiddenSize % BLOCK_SIZE === 0 && intermediateSize % BLOCK_SIZE === 0
  const shorter = [layerCount - Math.ceil(layerCount / 3), Math.ceil(layerCount / 2)]
  const variants: CompressVariant[] = [
    { name: 'float32', precision: 'float32' },
    { name: 'int8', precision: 'int8' },
    { name: 'int4', precision: 'int4' },
    { name: 'int8, trimmed', trimVocabulary: true, precision: 'int8' },
    { name: 'int4, trimmed', trimVocabulary: true, precision: 'int4' },
    ...[...new Set(shorter)]
      .filter(count => count > 0 && count < layerCount)
      .map(count => ({
        name: `int8, trimmed, ${count} ${count === 1 ? 'layer' : 'layers'}`,
        keepLayers: spreadLayers(layerCount, count),
        trimVocabulary: true,
        precision: 'int8' as const,
      })),
  ]
  return variants.filter(({ precision }) => fitsBlocks || precision !== 'int4')
}
