/** Reads an encoder's files from a folder in the layout of sentence-transformers. Knows nothing of their content. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'

/** The files of an encoder: weights as bytes, JSON files as text. */
export interface EncoderFiles {
  /** `model.safetensors`. */
  readonly weights: Uint8Array
  /** `config.json`. */
  readonly config: string
  /** `tokenizer.json`. */
  readonly tokenizer: string
  /** `tokenizer_config.json`. */
  readonly tokenizerConfig?: string | undefined
  /** `sentence_bert_config.json`. */
  readonly sentenceBert?: string | undefined
  /** `1_Pooling/config.json`. */
  readonly pooling?: string | undefined
}

/** @throws model-unavailable naming the file that is missing or unreadable */
export async function readEncoderFiles(folder: string): Promise<EncoderFiles> {
  const bytes = async (name: string): Promise<Uint8Array> => {
    try {
      return await readFile(join(folder, name))
    } catch (cause) {
      throw await unavailable(folder, name, cause)
    }
  }
  const text = async (name: string) => new TextDecoder().decode(await bytes(name))
  const optional = async (name: string) => {
    try {
      return await readFile(join(folder, name), 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
  return {
    weights: await bytes('model.safetensors'),
    config: await text('config.json'),
    tokenizer: await text('tokenizer.json'),
    tokenizerConfig: await optional('tokenizer_config.json'),
    sentenceBert: await optional('sentence_bert_config.json'),
    pooling: await optional('1_Pooling/config.json'),
  }
}

async function unavailable(folder: string, name: string, cause: unknown): Promise<UnderstudyError> {
  const { code } = cause as NodeJS.ErrnoException
  const there = await stat(folder).catch(() => null)
  const what =
    there === null
      ? `${folder} cannot be read: there is no such folder`
      : !there.isDirectory()
        ? `${folder} cannot be read: it is a file, not a folder`
        : code === 'ENOENT'
          ? `${folder} has no ${name}`
          : `${join(folder, name)} cannot be read`
  return new UnderstudyError('model-unavailable', what, {
    help: 'An encoder is a folder with model.safetensors, config.json and tokenizer.json. Complete it, name another, or name one of `understudy models list`.',
    cause,
  })
}
