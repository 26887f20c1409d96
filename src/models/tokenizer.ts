/** Text to token numbers, by a model's `tokenizer.json`. Portable; knows no encoder and no files. */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { UnderstudyError } from '../errors.ts'

export interface Tokenizer {
  readonly maxTokens: number
  readonly padId: number
  /** The token of what cannot be spelled, where there is one. */
  readonly unknownId: number | undefined
  /** Largest number that `encode` can give. */
  readonly maxId: number
  /** Token numbers with the model's special tokens, at most `maxTokens`. */
  encode(text: string): number[]
  /** Two texts one after the other, each closed by what closes a text; the longer one is cut first. All tokens are of type 0. */
  encodePair(first: string, second: string): number[]
  /** Words one by one, so that it is known which word a token is of: −1 for special tokens. */
  encodeWords(words: readonly string[]): { readonly ids: number[]; readonly wordOf: number[] }
}

export interface TokenizerOptions {
  /** Text of `tokenizer.json`. */
  readonly tokenizer: string
  /** Text of `tokenizer_config.json`, where there is one. */
  readonly config?: string | undefined
  /** Longest sequence, special tokens included. */
  readonly maxTokens: number
}

/**
 * Characters tried first per token wanted. Most languages need fewer than 8, so one try is enough;
 * otherwise the piece is doubled.
 */
const CHARACTERS_PER_TOKEN = 8
/** No text is read beyond this, so that 50 MB of blanks cost no more than 64 kB. */
const MAX_CHARACTERS = 65_536

/** @throws model-corrupt when the tokenizer's files cannot be used */
export function createTokenizer({ tokenizer, config, maxTokens }: TokenizerOptions): Tokenizer {
  const inner = load(tokenizer, config)
  const plain = (text: string) => inner.encode(text, { add_special_tokens: false }).ids
  const { prefix, suffix } = specialTokens(inner)
  const room = maxTokens - prefix.length - suffix.length
  if (room < 1) throw corrupt(`it leaves no room for text in ${maxTokens} tokens`)
  return {
    maxTokens,
    maxId: [...inner.get_vocab().values()].reduce((a, b) => Math.max(a, b), 0),
    padId: inner.token_to_id('[PAD]') ?? inner.token_to_id('<pad>') ?? 0,
    unknownId: inner.token_to_id('[UNK]') ?? inner.token_to_id('<unk>'),
    encode: text => [...prefix, ...upTo(text, room), ...suffix],
    encodePair(first, second) {
      const [a, b] = cutLonger(upTo(first, room), upTo(second, room), room - suffix.length)
      return [...prefix, ...a, ...suffix, ...b, ...suffix]
    },
    encodeWords(words) {
      const ids: number[] = []
      const wordOf: number[] = []
      for (const [i, word] of words.entries()) {
        if (ids.length >= room) break
        for (const id of upTo(word, room - ids.length)) {
          ids.push(id)
          wordOf.push(i)
        }
      }
      const none = (special: readonly number[]) => special.map(() => -1)
      return {
        ids: [...prefix, ...ids, ...suffix],
        wordOf: [...none(prefix), ...wordOf, ...none(suffix)],
      }
    },
  }

  /** At most `count` tokens of a text, without special ones. */
  function upTo(text: string, count: number): number[] {
    let length = count * CHARACTERS_PER_TOKEN
    let ids = plain(cut(text, length))
    while (ids.length < count && length < Math.min(text.length, MAX_CHARACTERS)) {
      length *= 2
      ids = plain(cut(text, Math.min(length, MAX_CHARACTERS)))
    }
    return ids.slice(0, count)
  }
}

/** Takes tokens off the end of the longer one until both fit into `room`. */
function cutLonger(a: number[], b: number[], room: number): [number[], number[]] {
  const half = Math.floor(Math.max(0, room) / 2)
  const forA = Math.max(half, room - b.length)
  const first = a.slice(0, Math.max(0, forA))
  return [first, b.slice(0, Math.max(0, room - first.length))]
}

/** The first characters; ends at white space where there is some near, so that no word is halved. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text
  const piece = text.slice(0, length)
  const tail = /\s\S*$/u.exec(piece.slice(-200))
  return tail === null ? piece : piece.slice(0, piece.length - tail[0].length)
}

function load(tokenizer: string, config: string | undefined): HuggingFaceTokenizer {
  try {
    const parsed: unknown = JSON.parse(tokenizer)
    const settings: unknown = config === undefined ? {} : JSON.parse(config)
    const inner = new HuggingFaceTokenizer(parsed as object, settings as object)
    inner.encode('a')
    return inner
  } catch (cause) {
    throw corrupt(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

/** What the tokenizer puts around a text, found by encoding one with and without it. */
function specialTokens(inner: HuggingFaceTokenizer): { prefix: number[]; suffix: number[] } {
  const whole = inner.encode('a').ids
  const [first] = inner.encode('a', { add_special_tokens: false }).ids
  const at = whole.indexOf(first as number)
  if (first === undefined || at < 0) throw corrupt('it cannot encode the text "a"')
  return { prefix: whole.slice(0, at), suffix: whole.slice(at + 1) }
}

function corrupt(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('model-corrupt', `tokenizer.json cannot be used: ${what}`, {
    help: 'Remove the model and pull it again.',
    cause,
  })
}
