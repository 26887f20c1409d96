/** How a caller wants its answer delivered, apart from what it asks. */

type Json = Readonly<Record<string, unknown>>

export interface Delivery {
  /** The request without anything about delivery: two that are equal here ask the same. */
  readonly asked: Json
  readonly isStream: boolean
  /** `stream_options.include_usage`. */
  readonly includeUsage: boolean
}

/** Takes a request apart; never throws. */
export function deliveryOf({ stream, stream_options: options, ...asked }: Json): Delivery {
  const includeUsage =
    typeof options === 'object' &&
    options !== null &&
    'include_usage' in options &&
    options.include_usage === true
  return { asked, isStream: stream === true, includeUsage }
}
