export {
  CATALOG,
  type CatalogEntry,
  type CatalogFile,
  catalogEntry,
  type ModelSource,
} from './catalog.ts'
export {
  type Classifier,
  type ClassifierParts,
  loadClassifier,
  type PredictionDetails,
  type Predictions,
} from './classifier.ts'
export {
  type ClassifierManifest,
  type EncoderPartManifest,
  parseClassifierManifest,
} from './classifier-manifest.ts'
export {
  type Combiner,
  confidenceFeatures,
  decideVerdict,
  type Opinion,
  pool,
  topTwo,
  type Verdict,
} from './combiner.ts'
export {
  type CompressedClassifierHandle,
  type CompressedEncoderOptions,
  compressedGraph,
  openCompressedClassifier,
  openCompressedEncoder,
  type Precision,
} from './compressed.ts'
export {
  COMPRESSED_MANIFEST,
  type CompressedFolder,
  readCompressedFolder,
  writeCompressedFolder,
} from './compressed-folder.ts'
export {
  type DownloadProgress,
  type EnsureOptions,
  ensureModel,
  type LocalModel,
  listModels,
  type ModelListing,
  type ModelOptions,
  modelsFolder,
  removeModel,
} from './download.ts'
export {
  createEncoder,
  type EncoderBase,
  type EncoderHandle,
  type EncoderOptions,
} from './encoder.ts'
export { padBatch } from './encoder-batches.ts'
export { type EncoderConfig, parseEncoderConfig } from './encoder-config.ts'
export { type EncoderFiles, readEncoderFiles } from './encoder-files.ts'
export { type OpenedEncoderFolder, openEncoderFolder } from './encoder-folder.ts'
export {
  CLASSIFIER_LOGITS,
  ENCODER_IDS,
  ENCODER_MASK,
  ENCODER_OUTPUT,
  embedTokens,
  type GraphClassifier,
  hiddenOutput,
  poolTokens,
  runLayers,
  unitLength,
} from './encoder-graph.ts'
export {
  type EncoderModules,
  frozenLinear,
  frozenModules,
  type Layer,
  type LayerModules,
} from './encoder-modules.ts'
export {
  EMBEDDING_NORM,
  LAYER_LINEARS,
  LAYER_NORMS,
  type LayerLinear,
  layerPath,
  linearSizes,
  POOLER,
  POSITIONS,
  WORDS,
} from './encoder-names.ts'
export { headOpinion, type Neighbour } from './encoder-part.ts'
export {
  type EncoderWeights,
  type LayerWeights,
  type Linear,
  mapValues,
  type Norm,
  readClassifier,
  readEncoderWeights,
  transpose,
} from './encoder-weights.ts'
export { type WriteWeightsOptions, writeEncoderWeights } from './encoder-weights-file.ts'
export { encodeHead, encodeNeighbours } from './head-file.ts'
export {
  HEAD_INPUT,
  HEAD_LOGITS,
  headGraph,
  type LinearHead,
  NEAREST_INDICES,
  NEAREST_PENALTIES,
  NEAREST_SIMILARITIES,
  neighboursGraph,
} from './head-graph.ts'
export {
  adapterClassifier,
  addLowRank,
  type CollectOptions,
  collectAdapter,
  mergeAdapter,
} from './lora.ts'
export {
  type ModelFolder,
  readModelFolder,
  requireFreeFolder,
  TOKENIZER_FILES,
  type TokenizerFile,
  writeModelFolder,
} from './model-folder.ts'
export { type Nearest, type Neighbours, neighboursOpinion, type VoteRule } from './neighbours.ts'
export {
  type EncoderParts,
  keepLayers,
  spreadLayers,
  type TrimmableModel,
  type TrimmedModel,
  type TrimmingReport,
  trimmingReport,
  trimVocabulary,
} from './prune.ts'
export { type QuantizeKind, quantizedModules } from './quantize.ts'
export { BLOCK_SIZE } from './quantize-weights.ts'
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
export { REFLEX_SIGNAL_COUNT, reflexOpinion } from './reflex-part.ts'
export { type ServingModules, servingGraph } from './serving-graph.ts'
export { createTokenizer, type Tokenizer, type TokenizerOptions } from './tokenizer.ts'
export {
  encodeLayers,
  TUNED_INPUT,
  type TunedGraphOptions,
  type TunedLayers,
  tunedGraph,
} from './tuned-layers.ts'
export type * from './types.ts'
