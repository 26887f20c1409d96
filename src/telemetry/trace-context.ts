/** W3C trace context: the `traceparent` header, version 00. */

export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits: the caller's span. */
  readonly spanId: string
  readonly isSampled: boolean
}

/** Null for anything that the recommendation calls invalid; a later version is read as far as version 00 goes. */
export function parseTraceparent(header: string | undefined): TraceContext | null {
  const found = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/u.exec(
    header?.trim() ?? '',
  )
  if (found === null) return null
  const [, version = '', traceId = '', spanId = '', flags = '', rest] = found
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null
  if (/^0+$/u.test(traceId) || /^0+$/u.test(spanId)) return null
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

export function formatTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`
}
