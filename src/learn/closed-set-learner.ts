/** Learns closed-set tasks: class keys on the outside, class numbers inside. Knows nothing of certificates or traffic. */
import { UnderstudyError } from '../errors.ts'
import {
  type Classifier,
  type ClassifierParts,
  loadClassifier,
  type PredictionDetails,
  type Specialist,
  type SpecialistAnswer,
} from '../models/index.ts'
import { sha256 } from '../platform/index.ts'
import { type ClosedSetSchema, closedSet } from '../tasks/index.ts'
import { type ClassifierCandidate, fitClassifier } from '../train/index.ts'
import { canonicalJson } from '../util/index.ts'
import type { Candidate, Learner, TrainingExample } from './learner.ts'

/** What a closed-set specialist's hash is taken of; blobs are named by their SHA-256. */
interface SpecialistManifest {
  readonly format: 'understudy-specialist'
  readonly kind: 'closed-set'
  /** Class keys in the order of the classifier's class numbers. */
  readonly classes: readonly string[]
  /** JSON array of the training examples' ids in the order of the classifier's training rows. */
  readonly exampleIdsBlob: string
  readonly classifier: unknown
}

/** The learner of closed-set tasks. Without encoder and runtime it learns reflexes only. */
export function createClosedSetLearner(parts: ClassifierParts): Learner<string, ClosedSetSchema> {
  return {
    kind: closedSet,
    async fit(schema, examples, context) {
      if (schema.classes.length === 0 || examples.length === 0) return []
      const candidates = await fitClassifier({
        ...trainingData(schema, examples),
        ...parts,
        ...context,
      })
      return Promise.all(
        candidates.map(candidate => toCandidate(candidate, { schema, examples, parts })),
      )
    },
  }
}

/** Class numbers and group numbers. */
function trainingData(schema: ClosedSetSchema, examples: readonly TrainingExample<string>[]) {
  const numberOf = new Map(schema.classes.map((item, i) => [item.key, i]))
  const groupNumbers = new Map<string, number>()
  const groups = Int32Array.from(examples, ({ group }) => {
    const number = groupNumbers.get(group) ?? groupNumbers.size
    groupNumbers.set(group, number)
    return number
  })
  return {
    inputs: examples.map(({ input }) => input),
    labels: Int32Array.from(examples, ({ output }) =>
      output === null ? -1 : (numberOf.get(output) ?? -1),
    ),
    groups,
    classCount: schema.classes.length,
  }
}

async function toCandidate(
  fitted: ClassifierCandidate,
  {
    schema,
    examples,
    parts,
  }: {
    schema: ClosedSetSchema
    examples: readonly TrainingExample<string>[]
    parts: ClassifierParts
  },
): Promise<Candidate<string>> {
  const ids = new TextEncoder().encode(JSON.stringify(examples.map(({ id }) => id)))
  const blobs = new Map([...fitted.blobs, [sha256(ids), ids]])
  const manifest: SpecialistManifest = {
    format: 'understudy-specialist',
    kind: 'closed-set',
    classes: schema.classes.map(({ key }) => key),
    exampleIdsBlob: sha256(ids),
    classifier: fitted.manifest,
  }
  const outOfFoldLosses = Float64Array.from(examples, ({ output }, row) => {
    const got = manifest.classes[fitted.outOfFoldLabels[row] as number] as string
    return closedSet.compare(schema, output, got)
  })
  return {
    name: fitted.name,
    // Rebuilt from the very bytes that are stored, so that what is certified is what will serve.
    specialist: await openSpecialist(manifest, blobs, parts),
    manifest,
    blobs,
    outOfFoldScores: fitted.outOfFoldScores,
    outOfFoldLosses,
  }
}

/**
 * Opens a learned specialist from its manifest; `getBlob` returns bytes by SHA-256.
 * @throws model-corrupt when manifest, schema and blobs do not belong together; model-unavailable when the encoder it was
 *   fitted on is not the one given
 */
export async function loadClosedSetSpecialist(
  value: unknown,
  schema: ClosedSetSchema,
  getBlob: (hash: string) => Promise<Uint8Array>,
  parts: ClassifierParts,
): Promise<Specialist<string>> {
  const manifest = parseSpecialistManifest(value)
  const keys = schema.classes.map(({ key }) => key)
  if (canonicalJson(keys) !== canonicalJson(manifest.classes)) {
    throw corrupt('its classes are not those of the task')
  }
  const blobs = new Map<string, Uint8Array>()
  for (const hash of blobHashes(manifest)) blobs.set(hash, await getBlob(hash))
  return openSpecialist(manifest, blobs, parts)
}

/** Every SHA-256 in the manifest that names a blob: those under a key that is `blob` or ends in `Blob`. */
function blobHashes(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) =>
    typeof item === 'string' && /(^b|B)lob$/.test(key) ? [item] : blobHashes(item),
  )
}

async function openSpecialist(
  manifest: SpecialistManifest,
  blobs: ReadonlyMap<string, Uint8Array>,
  parts: ClassifierParts,
): Promise<Specialist<string>> {
  const classifier = await loadClassifier(manifest.classifier, blobs, parts)
  const ids = readIds(blobs.get(manifest.exampleIdsBlob), manifest.exampleIdsBlob)
  if (classifier.manifest.classCount !== manifest.classes.length) {
    throw corrupt('the classifier has another number of classes')
  }
  return createSpecialist(manifest, classifier, ids)
}

function createSpecialist(
  manifest: SpecialistManifest,
  classifier: Classifier,
  ids: readonly string[],
): Specialist<string> {
  const output = (label: number): string => manifest.classes[label] as string
  const specialist: Specialist<string> = {
    hash: sha256(canonicalJson(manifest)),
    tier: classifier.manifest.name,
    async answer(input, signal, onPartial) {
      const [answer] = await specialist.answerBatch([input], signal ? { signal } : {})
      onPartial?.((answer as SpecialistAnswer<string>).output as string)
      return answer as SpecialistAnswer<string>
    },
    async answerBatch(inputs, options) {
      const predictions = await classifier.predict(inputs, options)
      return inputs.map((_, i) => ({
        output: output(predictions.labels[i] as number),
        score: predictions.scores[i] as number,
        evidence: toEvidence(predictions.details(i), output, ids),
      }))
    },
    close: classifier.close,
  }
  return specialist
}

function toEvidence(
  { candidates, neighbours, parts }: PredictionDetails,
  output: (label: number) => string,
  ids: readonly string[],
): SpecialistAnswer<string>['evidence'] {
  return {
    candidates: candidates.map(({ label, probability }) => ({
      output: output(label),
      probability,
    })),
    neighbours: neighbours.map(({ row, label, similarity }) => ({
      id: ids[row] ?? '',
      similarity,
      output: output(label),
    })),
    parts,
  }
}

function parseSpecialistManifest(value: unknown): SpecialistManifest {
  const manifest = value as SpecialistManifest | null
  const isValid =
    typeof manifest === 'object' &&
    manifest !== null &&
    manifest.format === 'understudy-specialist' &&
    manifest.kind === 'closed-set' &&
    Array.isArray(manifest.classes) &&
    manifest.classes.every(key => typeof key === 'string') &&
    typeof manifest.exampleIdsBlob === 'string'
  if (!isValid) throw corrupt('its manifest is not that of a closed-set specialist')
  return manifest
}

function readIds(bytes: Uint8Array | undefined, hash: string): readonly string[] {
  if (bytes === undefined || sha256(bytes) !== hash)
    throw corrupt('the list of examples is damaged')
  try {
    const ids: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (Array.isArray(ids) && ids.every(id => typeof id === 'string')) return ids
  } catch {
    // Falls through: not JSON is as wrong as other JSON.
  }
  throw corrupt('the list of examples is damaged')
}

function corrupt(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The specialist cannot be opened: ${what}.`, {
    help: 'Learn the task again.',
  })
}
