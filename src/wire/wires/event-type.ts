/** The type of an event on wires whose events have one. Knows none of the types. */
import { isObject, tryJson } from '../json.ts'
import type { SseEvent } from '../sse.ts'

/** Its name; some servers leave names out, then what its data says. */
export function eventTypeOf({ event, data }: Pick<SseEvent, 'event' | 'data'>): string | null {
  if (event !== 'message') return event
  const value = tryJson(data)?.value
  return isObject(value) && typeof value.type === 'string' ? value.type : null
}
