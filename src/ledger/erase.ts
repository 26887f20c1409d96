/** Erases a record's payload: the fact of the erasure goes into the chain first, then the bytes are overwritten. */
import { UnderstudyError } from '../errors.ts'
import { filler, payloadState } from './format.ts'
import { openSegment, type RecordAddress, readRaw } from './read.ts'
import type { RecordPosition } from './records.ts'
import type { LedgerWriter, WrittenRecord } from './writer.ts'

/** Payload of an `erasure` record. */
export interface ErasurePayload {
  /** The record whose payload was erased. */
  readonly target: RecordPosition
  /** Trace id, where the record was a trace. */
  readonly trace: string | null
  /** SHA-256 of the trace's identity, so that importing the same line again does not bring it back. */
  readonly identityHash: string | null
}

/**
 * Erases one payload for good. Safe to repeat after a crash: the record may already be erased.
 * @throws not-found, ledger-corrupt, ledger-unwritable
 */
export async function eraseRecord(
  dir: string,
  writer: LedgerWriter,
  erasure: ErasurePayload,
): Promise<WrittenRecord> {
  const written = await writer.append({ kind: 'erasure', payload: erasure })
  await overwritePayload(dir, erasure.target)
  return written
}

/**
 * Overwrites a payload with filler of the same length and waits for the disk.
 * @throws not-found, ledger-corrupt, ledger-unwritable
 */
export async function overwritePayload(
  dir: string,
  target: RecordAddress & { readonly hash: string },
): Promise<void> {
  const file = await openSegment(dir, target, 'r+')
  try {
    const { header, payload, payloadOffset } = await readRaw(file, target)
    if (header.hash !== target.hash) {
      throw new UnderstudyError('ledger-corrupt', 'the record to erase is another than named', {
        help: 'Run `understudy ledger verify`.',
      })
    }
    if (payloadState(header, payload) === 'filler') return
    await file.write(filler(header.length), 0, header.length, payloadOffset)
    await file.sync()
  } finally {
    await file.close()
  }
}
