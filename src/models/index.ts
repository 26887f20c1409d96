export { createEncoder, type EncoderHandle, type EncoderOptions } from './encoder.ts'
export { type EncoderFiles, readEncoderFiles } from './encoder-files.ts'
export {
  decodeReflex,
  encodeReflex,
  predictReflex,
  quantiseReflex,
  type Reflex,
  scoreFeatures,
  toLogProbabilities,
} from './reflex.ts'
export { type HashedFeatures, hashFeatures, weighFeatures } from './reflex-features.ts'
export { createTokenizer, type Tokenizer, type TokenizerOptions } from './tokenizer.ts'
export type * from './types.ts'
