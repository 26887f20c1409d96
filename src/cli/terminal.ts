/** The real terminal: standard streams, the first Ctrl-C as a signal, the second as the end. */
import type { Terminal } from './command.ts'

/** Opens the process's own terminal; call `close` when the command is done. */
export function openTerminal(): Terminal & { close(): void } {
  const controller = new AbortController()
  const onSignal = (): void => {
    // Whoever presses twice does not want to wait for an orderly end.
    if (controller.signal.aborted) process.exit(130)
    controller.abort()
  }
  // A reader that closes its pipe early (`understudy … | head`) is no error.
  const onStreamError = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.stdout.on('error', onStreamError)
  process.stderr.on('error', onStreamError)
  return {
    isTty: process.stderr.isTTY === true,
    columns: process.stderr.columns ?? process.stdout.columns ?? 80,
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    signal: controller.signal,
    env: process.env,
    close() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}
