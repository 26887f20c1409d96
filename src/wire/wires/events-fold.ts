/** The fold of a wire whose answers are not streamed: should one come as a stream all the same, its events are kept. */
import { tryJson } from '../json.ts'
import type { StreamFold } from './wire.ts'

/** Events that are kept; more than that of an answer that should be none are not worth it. */
const MAX_EVENTS = 1024

export function createEventsFold(): StreamFold {
  const events: unknown[] = []
  return {
    add({ data }) {
      if (events.length < MAX_EVENTS) events.push(tryJson(data)?.value ?? data)
    },
    result: () => ({ response: events.length === 0 ? null : { events }, isComplete: false }),
  }
}
