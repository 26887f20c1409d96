/** A terminal for tests: remembers what was written, and is interrupted on demand. */
import type { Terminal } from './command.ts'

/** A terminal that writes nowhere; `written()` returns everything so far, `abort()` is the first Ctrl-C. */
export function recordingTerminal(
  options: Partial<Pick<Terminal, 'isTty' | 'columns' | 'env'>> = {},
): Terminal & { written(): { out: string; err: string }; abort(): void } {
  const controller = new AbortController()
  let out = ''
  let err = ''
  return {
    isTty: false,
    columns: 80,
    env: {},
    ...options,
    out: text => {
      out += text
    },
    err: text => {
      err += text
    },
    signal: controller.signal,
    written: () => ({ out, err }),
    abort: () => controller.abort(),
  }
}
