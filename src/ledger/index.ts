/** The append-only record: write it, read it, check it. */
export { type ErasurePayload, eraseRecord, overwritePayload } from './erase.ts'
export { defaultSigningKeyPath, type Head, readPublicKey } from './heads.ts'
export { listWriters, type WriterFolder } from './layout.ts'
export { type LedgerReader, openLedgerReader, type RecordAddress, readRecord } from './read.ts'
export type * from './records.ts'
export type { GenesisPayload, Repair, WriterHead } from './recover.ts'
export { type ScanCursor, type ScanItem, START, scanFolder, scanWriter } from './scan.ts'
export type { SegmentIo } from './segment-file.ts'
export { systemIo } from './segment-file.ts'
export { type AlteredRecord, type VerifyReport, verifyLedger } from './verify.ts'
export {
  type Durability,
  type LedgerHealth,
  type LedgerWriter,
  type LedgerWriterOptions,
  type NewRecord,
  openLedgerWriter,
  type WrittenRecord,
} from './writer.ts'
