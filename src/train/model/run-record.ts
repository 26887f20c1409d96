/** What is written down of a run, so that it can be read and repeated: `runs/ID.json` in the data folder. */
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { UnderstudyError } from '../../errors.ts'
import { sha256, writeFileAtomic } from '../../platform/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { parseRecipe, type Recipe, recipeId } from '../fine-tune/recipe.ts'
import type { TrainTask } from './labelled-rows.ts'
import type { TrainingMetrics } from './training-metrics.ts'

/** A recipe that the search tried, and what came of it. */
export interface Tried {
  /** E.g. `full, top 2 layers`. */
  readonly name: string
  readonly recipe: Recipe
  readonly metrics: TrainingMetrics | null
  readonly epochLosses: readonly number[]
  readonly heldBackLosses: readonly number[]
  readonly seconds: number
  /** Why there are no metrics. */
  readonly ended?: 'diverged' | 'out of time'
}

export interface RunRecord {
  readonly version: 1
  readonly id: string
  readonly task: TrainTask
  readonly base: string
  readonly weightsHash: string
  /** Of how the base cuts texts and pools tokens; runs from before it was kept have none. */
  readonly readingHash?: string
  readonly dataHash: string
  /** Of all rows given, `textsHash`. */
  readonly textsHash: string
  readonly recipe: Recipe
  /** Which rows the weights have seen: all, or those outside the inner split. */
  readonly rowsUsed: 'all' | 'training'
  /** Of the inner split. */
  readonly seed: number
  readonly memoryBytes: number
  readonly threads: number
  readonly labels: readonly string[]
  readonly rowCounts: Readonly<Record<string, number>>
  /** Of this recipe fitted without the inner split, measured on it; null where nothing was held back. */
  readonly metrics: TrainingMetrics | null
  readonly epochLosses: readonly number[]
  readonly heldBackLosses: readonly number[]
  readonly tried: readonly Tried[]
  /** Of the process that finished, and of the trials of those before it. */
  readonly seconds: number
  readonly versions: Readonly<Record<string, string>>
  /** ISO 8601. */
  readonly time: string
}

/** What decides the weights beside the recipe. */
export type RunIdentity = Pick<
  RunRecord,
  'recipe' | 'weightsHash' | 'readingHash' | 'dataHash' | 'rowsUsed' | 'seed' | 'memoryBytes'
>

/** 16 hexadecimal digits. */
export function runId(identity: RunIdentity): string {
  const { recipe, weightsHash, readingHash, dataHash, rowsUsed, seed, memoryBytes } = identity
  const more = { dataHash, rowsUsed, seed, memoryBytes, ...(readingHash && { readingHash }) }
  return recipeId(recipe, { weightsHash, dataHash: sha256(canonicalJson(more)) })
}

const recordSchema = z.looseObject({
  version: z.literal(1),
  id: z.string(),
  task: z.enum(['label', 'labels', 'pair', 'spans']),
  recipe: z.unknown(),
  rowsUsed: z.enum(['all', 'training']),
  seed: z.int(),
  memoryBytes: z.number(),
  weightsHash: z.string(),
  readingHash: z.string().optional(),
  dataHash: z.string(),
})

/** What a model's `recipe.json` says of its run; null where there is nothing that is understood. */
export function readRunSummary(
  text: string | undefined,
): { readonly task: string; readonly textsHash: string | null } | null {
  try {
    const { task, textsHash } = JSON.parse(text ?? '{}') as Record<string, unknown>
    if (typeof task !== 'string') return null
    return { task, textsHash: typeof textsHash === 'string' ? textsHash : null }
  } catch {
    return null
  }
}

export function runsFolder(dataDir: string): string {
  return join(dataDir, 'runs')
}

/** @throws file-unreadable */
export async function writeRunRecord(dataDir: string, record: RunRecord): Promise<void> {
  const path = join(runsFolder(dataDir), `${record.id}.json`)
  try {
    await mkdir(runsFolder(dataDir), { recursive: true })
    await writeFileAtomic(path, `${JSON.stringify(record, null, 2)}\n`)
  } catch (cause) {
    throw new UnderstudyError('file-unreadable', `${path} cannot be written.`, {
      help: 'Check free space and permissions of the data folder.',
      cause,
    })
  }
}

/** @throws not-found naming runs there are; file-corrupt, also for one that was altered; request-invalid for a broken recipe */
export async function readRunRecord(dataDir: string, id: string): Promise<RunRecord> {
  if (!/^[0-9a-f]{16}$/.test(id)) throw await unknownRun(dataDir, id)
  const path = join(runsFolder(dataDir), `${id}.json`)
  const text = await readFile(path, 'utf8').catch(async (error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? await unknownRun(dataDir, id) : unreadable(path, error)
  })
  const parsed = recordSchema.safeParse(parseJsonText(text))
  if (!parsed.success) throw notOfRun(path, id)
  const record = {
    ...(parsed.data as unknown as RunRecord),
    recipe: parseRecipe(parsed.data.recipe),
  }
  // Its figures are those of the recipe that the id was made of, and of no other.
  if (runId(record) !== id) throw notOfRun(path, id)
  return record
}

function notOfRun(path: string, id: string): UnderstudyError {
  return new UnderstudyError('file-corrupt', `${path} is not the record of run ${id}.`, {
    help: 'Restore it from a copy, or train again without --recipe.',
  })
}

function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

async function unknownRun(dataDir: string, id: string): Promise<UnderstudyError> {
  const files = await readdir(runsFolder(dataDir)).catch(() => [])
  const ids = files.flatMap(file => /^([0-9a-f]{16})\.json$/.exec(file)?.[1] ?? [])
  const known = ids.slice(0, 5).join(', ')
  return new UnderstudyError(
    'not-found',
    `There is no recipe ${JSON.stringify(id.slice(0, 60))}.`,
    {
      help:
        ids.length === 0
          ? 'Train once without --recipe: what it prints can then be repeated.'
          : `Use one of: ${known}${ids.length > 5 ? `, and ${ids.length - 5} more` : ''}.`,
    },
  )
}

function unreadable(path: string, cause: unknown): UnderstudyError {
  return new UnderstudyError('file-unreadable', `${path} cannot be read.`, {
    help: 'Check the permissions of the data folder.',
    cause,
  })
}
