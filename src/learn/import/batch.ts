/** Pairs the two files of an OpenAI batch by custom id, keeping only places in memory and reading requests again. */
import { type ParsedLine, parseLogLine } from '../../wire/index.ts'
import { openRecords, type RecordReader, readSource, type SourceFile } from './source.ts'

interface Place {
  readonly file: number
  readonly offset: number
  readonly byteLength: number
}

export interface BatchIndex {
  /** The output line with its request, or why there is none. */
  pair(half: Extract<ParsedLine, { kind: 'batch-response' }>): Promise<ParsedLine>
  /** True where there are requests but not one answer. */
  readonly isOneSided: boolean
  close(): Promise<void>
}

/** Notes where each request of the given batch files lies. */
export async function indexBatches(
  files: readonly SourceFile[],
  signal: AbortSignal,
): Promise<BatchIndex> {
  /** Null where two requests share the id: pairing would be a guess. */
  const places = new Map<string, Place | null>()
  const readers: RecordReader[] = []
  let hasAnswers = false
  for (const file of files) {
    // A packed file cannot be read at a place, so its requests are not found; its answers are.
    const isPacked = file.isGzip
    const index = readers.push(await openRecords(file.path)) - 1
    for await (const items of readSource(file)) {
      signal.throwIfAborted()
      for (const item of items) {
        if ('reason' in item) continue
        const parsed = parseLogLine('openai-batch', item.value)
        if (parsed.kind === 'batch-response') hasAnswers = true
        if (parsed.kind !== 'batch-request' || isPacked) continue
        const { offset, byteLength } = item
        const isTaken = places.has(parsed.customId)
        places.set(parsed.customId, isTaken ? null : { file: index, offset, byteLength })
      }
    }
  }
  return {
    isOneSided: places.size > 0 && !hasAnswers,
    pair: half => pairUp(half, places, readers),
    close: async () => {
      await Promise.all(readers.map(reader => reader.close()))
    },
  }
}

async function pairUp(
  { customId, entry }: Extract<ParsedLine, { kind: 'batch-response' }>,
  places: ReadonlyMap<string, Place | null>,
  readers: readonly RecordReader[],
): Promise<ParsedLine> {
  const place = places.get(customId)
  if (place === undefined) {
    return rejected(
      `the request '${customId}' is in none of the files; give the batch's input file as well (unpacked)`,
    )
  }
  if (place === null) {
    return rejected(`two requests are called '${customId}'; import each batch by itself`)
  }
  const value = await readers[place.file]?.read(place.offset, place.byteLength)
  const parsed = parseLogLine('openai-batch', value)
  if (parsed.kind !== 'batch-request') return rejected('the input file changed while it was read')
  return { kind: 'entry', entry: { ...entry, request: parsed.request } }
}

function rejected(reason: string): ParsedLine {
  return { kind: 'rejected', reason }
}
