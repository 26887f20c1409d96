/** One POST of JSON to an address that the operator named. Knows nothing of what it says. */
import { request } from 'undici'

/** Resolves with the status; the body is dropped. @throws undici's error where nothing answers in time */
export async function postJson(
  url: string,
  body: string,
  {
    headers,
    timeoutMs,
  }: { readonly headers: Readonly<Record<string, string>>; readonly timeoutMs: number },
): Promise<number> {
  const response = await request(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    signal: AbortSignal.timeout(timeoutMs),
  })
  await response.body.dump()
  return response.statusCode
}
