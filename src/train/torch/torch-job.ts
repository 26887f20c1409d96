/** Writes a fine-tuning run as a folder that PyTorch, PEFT and torchrun can run elsewhere. Knows no traffic and no task. */
import { copyFile, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UnderstudyError } from '../../errors.ts'
import { makeFolder, sha256File, sha256Joined } from '../../platform/index.ts'
import { randomHex } from '../../util/index.ts'
import { parseRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { MAX_DATA_BYTES, type TorchJob, torchJobId, torchJobIssue } from './torch-job-format.ts'
import { MODEL_FILES, modelFilesHash } from './torch-job-result.ts'
import { jobReadme, kubernetesManifest } from './torch-job-texts.ts'

/** One row of the training part. */
export interface TorchJobRow {
  /** `selection` rows are only measured on. */
  readonly split: 'training' | 'selection'
  readonly text: string
  /** The second text where pairs are classified. */
  readonly pair?: string | undefined
  /** Positions in `labels`: exactly one, or any number with `multi-label`. */
  readonly labels: readonly number[]
}

/** The encoder to start from. */
export type TorchBaseModel =
  /** Copied into the job. */
  | { readonly kind: 'folder'; readonly name: string; readonly folder: string }
  /** Fetched where the job runs. */
  | {
      readonly kind: 'huggingface'
      readonly name: string
      readonly repository: string
      /** A commit. */
      readonly revision: string
      /** SHA-256 of `model.safetensors`. */
      readonly weightsHash: string
    }

export interface TorchJobOptions {
  readonly recipe: Recipe
  readonly baseModel: TorchBaseModel
  readonly rows: readonly TorchJobRow[]
  readonly labels: readonly string[]
  readonly kind?: TorchJob['kind']
  /** Longest sequence, special tokens included. */
  readonly maxTokens: number
  readonly pooling: TorchJob['pooling']
}

/** Ships with the package; the same path from `src/train` and from `dist/train`. */
const SCRIPTS = fileURLToPath(new URL('../../../assets/torch-job', import.meta.url))
const NEEDED: readonly string[] = ['model.safetensors', 'config.json', 'tokenizer.json']
const OPTIONAL = MODEL_FILES.filter(file => !NEEDED.includes(file))

/**
 * Writes a new job folder; readers see nothing until all of it is there.
 * @throws request-invalid naming the row; usage-invalid when the folder exists; model-unavailable; file-unreadable
 */
export async function writeTorchJob(dir: string, options: TorchJobOptions): Promise<TorchJob> {
  const { baseModel, labels, kind = 'single-label', maxTokens, pooling, rows } = options
  const recipe = parseRecipe(options.recipe)
  checkRows(rows, { labels, kind })
  const lines = rows.map(row => `${JSON.stringify(rowLine(row))}\n`)
  requireReadable(lines)
  await requireFree(dir)
  const temporary = `${dir}.${randomHex(6)}.tmp`
  try {
    await makeFolder(temporary)
    await writeFile(join(temporary, 'data.jsonl'), lines)
    const countOf = (split: TorchJobRow['split']) => rows.filter(one => one.split === split).length
    const content: Omit<TorchJob, 'id'> = {
      format: 'understudy-torch-job',
      version: 1,
      recipe,
      kind,
      labels: [...labels],
      maxTokens,
      pooling,
      baseModel: await provideModel(baseModel, join(temporary, 'model')),
      data: {
        file: 'data.jsonl',
        hash: sha256Joined(lines),
        trainingCount: countOf('training'),
        selectionCount: countOf('selection'),
      },
    }
    const job: TorchJob = { ...content, id: torchJobId(content) }
    const issue = torchJobIssue(job)
    if (issue !== null) throw invalid(issue)
    await writeTexts(temporary, job)
    await rename(temporary, dir)
    return job
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    if (error instanceof UnderstudyError) throw error
    throw new UnderstudyError('file-unreadable', `The job folder ${dir} cannot be written`, {
      help: 'Check free space and permissions of the folder it is to stand in.',
      cause: error,
    })
  }
}

function rowLine({ split, text, pair, labels }: TorchJobRow) {
  return { split, text, ...(pair === undefined ? {} : { pair }), labels }
}

/** @throws request-invalid */
function checkRows(
  rows: readonly TorchJobRow[],
  { labels, kind }: { labels: readonly string[]; kind: TorchJob['kind'] },
): void {
  rows.forEach(({ text, pair, labels: own }, i) => {
    const where = `row ${i + 1}`
    if (text.trim() === '' || pair?.trim() === '') throw invalid(`${where} has an empty text`)
    if (kind === 'single-label' && own.length !== 1) {
      throw invalid(`${where} has ${own.length} labels, and one is needed`)
    }
    const odd = own.find(label => !(Number.isInteger(label) && label >= 0 && label < labels.length))
    if (odd !== undefined) throw invalid(`${where} has label ${odd} of ${labels.length} labels`)
  })
  const training = rows.filter(row => row.split === 'training')
  const seen = new Set(training.flatMap(row => row.labels))
  const fewest = kind === 'single-label' ? 2 : 1
  if (seen.size < fewest) {
    throw invalid(
      `the ${training.length} training rows have ${seen.size} different labels: there is nothing to learn`,
    )
  }
}

/** @throws request-invalid for more than can be read back */
function requireReadable(lines: readonly string[]): void {
  const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0)
  if (bytes <= MAX_DATA_BYTES) return
  throw new UnderstudyError(
    'request-invalid',
    `The job cannot be written: its rows take ${Math.ceil(bytes / 2 ** 20)} MB, and at most ${Math.floor(MAX_DATA_BYTES / 2 ** 20)} can be read back`,
    { help: 'Give a sample of the rows.' },
  )
}

function invalid(what: string): UnderstudyError {
  return new UnderstudyError('request-invalid', `The job cannot be written: ${what}`, {
    help: 'Give rows with a text each, and at least two classes among the training rows.',
  })
}

/** @throws usage-invalid when something is there already */
async function requireFree(dir: string): Promise<void> {
  const found = await stat(dir).catch(() => null)
  if (found === null) return
  throw new UnderstudyError('usage-invalid', `${dir} is there already`, {
    help: 'Name a folder that does not exist; nothing is overwritten.',
  })
}

/** Copies a local model into the job; says where the model is and which it is. */
async function provideModel(model: TorchBaseModel, target: string): Promise<TorchJob['baseModel']> {
  if (model.kind === 'huggingface') {
    const { name, repository, revision, weightsHash } = model
    return { name, weightsHash, source: { kind: 'huggingface', repository, revision } }
  }
  const copy = async (file: string): Promise<void> => {
    await makeFolder(dirname(join(target, file)))
    await copyFile(join(model.folder, file), join(target, file))
  }
  for (const file of NEEDED) {
    await copy(file).catch((cause: unknown) => {
      throw new UnderstudyError(
        'model-unavailable',
        `${join(model.folder, file)} cannot be copied`,
        { help: 'Pull the model: understudy models pull NAME.', cause },
      )
    })
  }
  for (const file of OPTIONAL) {
    const isThere = (await stat(join(model.folder, file)).catch(() => null)) !== null
    if (isThere) await copy(file)
  }
  const weightsHash = await sha256File(join(target, 'model.safetensors'))
  return {
    name: model.name,
    weightsHash,
    filesHash: await modelFilesHash(dirname(target)),
    source: { kind: 'folder', path: basename(target) },
  }
}

async function writeTexts(dir: string, job: TorchJob): Promise<void> {
  await writeFile(join(dir, 'recipe.json'), `${JSON.stringify(job, null, 2)}\n`)
  await writeFile(join(dir, 'README.md'), jobReadme(job))
  await writeFile(join(dir, 'job.yaml'), kubernetesManifest(job))
  for (const name of (await readdir(SCRIPTS)).filter(one => /\.(py|sh|txt)$/.test(one))) {
    // Written, not copied: a package manager may have taken the right to execute it away.
    const mode = name.endsWith('.sh') ? 0o755 : 0o644
    await writeFile(join(dir, name), await readFile(join(SCRIPTS, name)), { mode })
  }
}
