/** Layer 1, portable: other people's JSON. The only folder that knows their field names. */
export { limitBrokenBy, parseChatRequest } from './chat-request.ts'
export {
  answerOf,
  type CompletionParts,
  type FinishReason,
  finishReasonFor,
  holdsAnswer,
  renderChunks,
  renderCompletion,
  reportedModel,
  usageOf,
} from './chat-response.ts'
export { type Delivery, deliveryOf } from './delivery.ts'
export { type ErrorBody, errorBody, modelIds, modelsBody } from './errors.ts'
export { type FoldedStream, foldChunks } from './fold.ts'
export { isObject, MAX_JSON_DEPTH, nestsDeeperThan, parseJson, tryJson } from './json.ts'
export {
  type LocalChat,
  type LocalGeneration,
  type LocalMessage,
  parseLocalChat,
} from './local-request.ts'
export {
  contextLengthBody,
  createLocalChunks,
  type LocalChunks,
  type LocalFinish,
  type LocalHead,
  renderLocalCompletion,
} from './local-response.ts'
export type { HalfEntry, ParsedLine } from './logs/entry.ts'
export {
  detectLogFormat,
  isLogFormat,
  LOG_FORMATS,
  type LogFormat,
  parseLogLine,
} from './logs/formats.ts'
export { LABELLED_MODEL } from './logs/labelled.ts'
export { modelIn, modelsIn, withModel } from './model-field.ts'
export { genAiAttributes, genAiOperation, otlpTraces, type Span, type SpanValue } from './otlp.ts'
export { CHAT_PATH } from './paths.ts'
export {
  createSseParser,
  formatSse,
  formatSseComment,
  SSE_DONE,
  type SseEvent,
  type SseParser,
} from './sse.ts'
export type * from './types.ts'
export { type UnfoldOptions, unfoldCompletion } from './unfold.ts'
export { CHAT } from './wires/chat.ts'
export {
  type EmbeddingsRequest,
  parseEmbeddingsRequest,
  renderEmbeddings,
} from './wires/embeddings.ts'
export { WIRES, wireAt } from './wires/registry.ts'
export { chatBodyOf, completionIn, createSaying, type Saying } from './wires/say.ts'
export type { Speech, SpeechHead } from './wires/speech.ts'
export type {
  AnswerParts,
  Rendered,
  RenderedError,
  StreamFold,
  Wire,
  WireName,
} from './wires/wire.ts'
