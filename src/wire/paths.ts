/** Paths of the API that more than one folder speaks of. */

/** Chat completions: the one request that specialists answer and traces are learned from. */
export const CHAT_PATH = '/v1/chat/completions'
