/** `tokenizer.json` with fewer pieces, numbered anew. Knows no weights and no texts. */
import { z } from 'zod'
import { UnderstudyError } from '../errors.ts'

export interface TrimmedTokenizer {
  /** Text of the new `tokenizer.json`. */
  readonly json: string
  /** Former number of each token. */
  readonly kept: Int32Array
  /** Content of each token, the empty text for numbers without one. */
  readonly pieces: readonly string[]
}

export interface TrimTokenizerOptions {
  /** Numbers of tokens that must stay. */
  readonly used: ReadonlySet<number>
  /** Rows of the embedding table; no number may reach it. */
  readonly vocabularySize: number
}

/** Marks the start of a word in Unigram vocabularies. */
const WORD_START = '▁'

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int(), content: z.string() })).default([]),
  padding: z.looseObject({ pad_id: z.int().default(0) }).nullish(),
  post_processor: z.unknown(),
  model: z.looseObject({ type: z.string().optional(), vocab: z.unknown() }),
})
type TokenizerJson = z.infer<typeof tokenizerSchema>

const unigramSchema = z.array(z.tuple([z.string(), z.number()])).max(2_000_000)
const templateSchema = z.looseObject({
  special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(z.int()) })),
})
const pairSchema = z.looseObject({
  sep: z.tuple([z.string(), z.int()]),
  cls: z.tuple([z.string(), z.int()]),
})
const sequenceSchema = z.looseObject({ processors: z.array(z.unknown()).max(64) })

/**
 * Keeps what is used, the special and added tokens, and every piece of one character, so that any text can still be spelled.
 * Texts whose tokens are all kept are cut as before: both kinds of model choose the best among the pieces there are.
 * @throws model-corrupt when the file contradicts itself; usage-invalid for models that are neither WordPiece nor Unigram
 */
export function trimTokenizer(
  text: string,
  { used, vocabularySize }: TrimTokenizerOptions,
): TrimmedTokenizer {
  const tokenizer = parse(tokenizerSchema, parseJson(text))
  const vocabulary = readVocabulary(tokenizer, vocabularySize)
  const keep = new Set(used)
  for (const { id } of tokenizer.added_tokens) keep.add(id)
  for (const id of specialIds(tokenizer.post_processor)) keep.add(id)
  for (const id of vocabulary.always) keep.add(id)
  for (const [id, piece] of vocabulary.pieces) if (isSingle(piece, vocabulary.marker)) keep.add(id)
  const kept = Int32Array.from(keep).sort()
  for (const id of kept) requireRow(id, vocabularySize)
  const renumber = new Map(Array.from(kept, (id, at) => [id, at]))
  const to = (id: number) => renumber.get(id) as number
  const added = new Map(tokenizer.added_tokens.map(({ id, content }) => [id, content]))
  return {
    json: JSON.stringify({
      ...tokenizer,
      added_tokens: tokenizer.added_tokens.map(one => ({ ...one, id: to(one.id) })),
      ...(tokenizer.padding
        ? { padding: { ...tokenizer.padding, pad_id: renumber.get(tokenizer.padding.pad_id) ?? 0 } }
        : {}),
      post_processor: renumberProcessor(tokenizer.post_processor, to),
      model: vocabulary.model(renumber),
    }),
    kept,
    pieces: Array.from(kept, id => vocabulary.pieces.get(id) ?? added.get(id) ?? ''),
  }
}

interface Vocabulary {
  readonly pieces: ReadonlyMap<number, string>
  /** What stands before pieces that continue a word, or begin one. */
  readonly marker: string
  /** Numbers that the model names itself. */
  readonly always: readonly number[]
  model(renumber: ReadonlyMap<number, number>): object
}

function readVocabulary({ model }: TokenizerJson, vocabularySize: number): Vocabulary {
  switch (model.type ?? 'WordPiece') {
    case 'WordPiece':
      return wordPieces(model, vocabularySize)
    case 'Unigram':
      return unigrams(model)
    default:
      throw new UnderstudyError(
        'usage-invalid',
        `The vocabulary of a tokenizer of type ${model.type} cannot be trimmed`,
        { help: 'Leave trimVocabulary out; WordPiece and Unigram vocabularies can be trimmed.' },
      )
  }
}

function wordPieces(model: TokenizerJson['model'], vocabularySize: number): Vocabulary {
  const { vocab, unk_token: unknown, continuing_subword_prefix: prefix = '##' } = model
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) {
    throw corrupt('its vocabulary is no map from pieces to numbers')
  }
  // Entries, not a copy by keys: a piece may be called "__proto__".
  const entries = Object.entries(vocab as Record<string, unknown>)
  const pieces = new Map<number, string>()
  for (const [piece, id] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id)) throw corrupt(`${piece} has no number`)
    requireRow(id, vocabularySize)
    if (pieces.has(id)) throw corrupt(`${piece} and ${pieces.get(id)} both have the number ${id}`)
    pieces.set(id, piece)
  }
  const always = entries.flatMap(([piece, id]) => (piece === unknown ? [id as number] : []))
  if (always.length === 0) throw corrupt(`its unknown token ${unknown} is not in the vocabulary`)
  return {
    pieces,
    marker: typeof prefix === 'string' ? prefix : '##',
    always,
    model: renumber => ({
      ...model,
      vocab: Object.fromEntries(
        entries.flatMap(([piece, id]) => {
          const at = renumber.get(id as number)
          return at === undefined ? [] : [[piece, at] as const]
        }),
      ),
    }),
  }
}

function unigrams(model: TokenizerJson['model']): Vocabulary {
  const vocab = parse(unigramSchema, model.vocab)
  const unknown = parse(
    z
      .int()
      .min(0)
      .max(vocab.length - 1),
    model.unk_id,
  )
  const bytes = model.byte_fallback === true ? /^<0x[0-9A-F]{2}>$/ : /(?!)/
  const always = [...vocab.keys()].filter(id => bytes.test(vocab[id]?.[0] ?? ''))
  return {
    pieces: new Map(vocab.map(([piece], id) => [id, piece])),
    marker: WORD_START,
    always: [unknown, ...always],
    model: renumber => {
      // The place in the list is the number, so nothing may stand between kept pieces.
      const rest = vocab.filter((_, id) => renumber.has(id))
      return { ...model, vocab: rest, unk_id: renumber.get(unknown) }
    },
  }
}

function isSingle(piece: string, marker: string): boolean {
  const bare = marker !== '' && piece.startsWith(marker) ? piece.slice(marker.length) : piece
  return [...bare].length <= 1 || [...piece].length === 1
}

/** Numbers that a post-processor writes around texts. */
function specialIds(processor: unknown): number[] {
  const ids: number[] = []
  renumberProcessor(processor, id => {
    ids.push(id)
    return id
  })
  return ids
}

function renumberProcessor(processor: unknown, to: (id: number) => number): unknown {
  switch ((processor as { type?: unknown } | null | undefined)?.type) {
    case 'TemplateProcessing': {
      const template = parse(templateSchema, processor)
      const tokens = Object.entries(template.special_tokens).map(([name, token]) => [
        name,
        { ...token, ids: token.ids.map(to) },
      ])
      return { ...template, special_tokens: Object.fromEntries(tokens) }
    }
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const pair = parse(pairSchema, processor)
      return { ...pair, sep: [pair.sep[0], to(pair.sep[1])], cls: [pair.cls[0], to(pair.cls[1])] }
    }
    case 'Sequence': {
      const sequence = parse(sequenceSchema, processor)
      return { ...sequence, processors: sequence.processors.map(one => renumberProcessor(one, to)) }
    }
    default:
      return processor
  }
}

function requireRow(id: number, vocabularySize: number): void {
  if (id >= 0 && id < vocabularySize) return
  throw corrupt(`it numbers a token ${id}, and the model has ${vocabularySize} of them`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw corrupt('it is not JSON', cause)
  }
}

function parse<Output>(schema: z.ZodType<Output>, value: unknown): Output {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const what = parsed.error.issues.slice(0, 3).map(one => `${one.path.join('.')}: ${one.message}`)
  throw corrupt(what.join('; '), parsed.error)
}

function corrupt(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('model-corrupt', `tokenizer.json cannot be trimmed: ${what}`, {
    help: 'Pull the model again, or leave trimVocabulary out.',
    cause,
  })
}
