/** What a classifier's manifest says, and its reading with every value checked. Knows no weights. */
import { z } from 'zod'
import { UnderstudyError } from '../errors.ts'
import type { Combiner } from './combiner.ts'

const finite = z.number().refine(Number.isFinite)
const blob = z.string().regex(/^[0-9a-f]{64}$/)
const classCount = z.int().min(1).max(100_000)

const manifestSchema = z.object({
  format: z.literal('understudy-classifier'),
  version: z.literal(1),
  name: z.enum(['reflex', 'encoder']),
  classCount,
  reflex: z.object({ bits: z.int().min(1).max(24), blob }),
  encoder: z
    .object({
      name: z.string(),
      weightsHash: blob,
      dimension: z.int().min(1).max(65_536),
      headBlob: blob,
      /** Fine-tuned layers on which the head stands instead of the frozen embedding. */
      tuned: z
        .object({
          firstLayer: z.int().min(0).max(1023),
          scale: z.number().positive().max(10_000),
          layersBlob: blob,
          /** How they were trained, for people and for repeating it. */
          recipe: z.record(z.string(), z.unknown()),
        })
        .nullable()
        .default(null),
      neighbourCount: z.int().min(1).max(10_000_000),
      neighboursBlob: blob,
      vote: z.object({
        k: z.int().min(1).max(1024),
        sharpness: z.number().positive().max(1000),
        smoothing: z.number().gt(0).lt(1),
      }),
    })
    .nullable(),
  combiner: z.object({
    poolWeights: z.array(finite.nonnegative()).min(1).max(8),
    means: z.array(finite).max(256),
    deviations: z.array(finite.positive()).max(256),
    coefficients: z.array(finite).max(256),
    intercept: finite,
    lows: z.array(finite).max(256),
    highs: z.array(finite).max(256),
  }),
})

/** A classifier as JSON: sizes, numbers of the combiner, and the SHA-256 of each blob. */
export type ClassifierManifest = z.infer<typeof manifestSchema>

/** Sizes and names of the encoder's part. */
export type EncoderPartManifest = NonNullable<ClassifierManifest['encoder']>

/** @throws model-corrupt */
export function parseClassifierManifest(value: unknown): ClassifierManifest {
  const parsed = manifestSchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw corruptManifest(`${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'is invalid'}`)
  }
  checkCombiner(parsed.data.combiner)
  const { encoder } = parsed.data
  if (encoder !== null && encoder.vote.k > encoder.neighbourCount) {
    throw corruptManifest('more neighbours vote than there are')
  }
  return parsed.data
}

function checkCombiner({ means, deviations, coefficients, lows, highs }: Combiner): void {
  const count = coefficients.length
  if ([means, deviations, lows, highs].some(numbers => numbers.length !== count)) {
    throw corruptManifest(
      'the combiner has unequal numbers of coefficients and of what belongs to them',
    )
  }
}

function corruptManifest(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The classifier's manifest is damaged: ${what}`, {
    help: 'Learn the task again.',
  })
}
