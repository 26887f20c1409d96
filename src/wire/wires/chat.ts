/** Chat completions: the wire whose form the house speaks itself. */
import { parseChatRequest } from '../chat-request.ts'
import {
  answerOf,
  finishReasonFor,
  renderChunks,
  renderCompletion,
  usageOf,
} from '../chat-response.ts'
import { errorBody } from '../errors.ts'
import { createChatFold } from '../fold.ts'
import { CHAT_PATH } from '../paths.ts'
import { formatSse, SSE_DONE } from '../sse.ts'
import type { Wire } from './wire.ts'

export const CHAT: Wire = {
  name: 'chat',
  path: CHAT_PATH,
  parse: parseChatRequest,
  createFold: createChatFold,
  closes: ({ data }) => data.startsWith('[DONE]'),
  answerOf,
  usageOf,
  writtenField: 'choices',
  render(request, { id, fingerprint, ...rest }) {
    const parts = {
      ...rest,
      id: `chatcmpl-${id}`,
      finishReason: finishReasonFor(request, rest.answer),
      systemFingerprint: `fp_${fingerprint.slice(0, 10)}`,
    }
    return {
      body: renderCompletion(parts),
      stream: () =>
        [...renderChunks(parts, request.includeUsage)]
          .map(chunk => formatSse(JSON.stringify(chunk)))
          .join('') + SSE_DONE,
    }
  },
  speech: null,
  error: error => {
    const { status, body } = errorBody(error)
    return { status, body: { ...body } }
  },
  errorEvent: error => formatSse(JSON.stringify(errorBody(error).body)),
}
