/** Where worker threads and child processes find their code: always the built JavaScript, also when tests run from source. */
import { fileURLToPath } from 'node:url'

/**
 * Absolute path of a built module beside the caller's, for `new Worker` and `fork`.
 * @example builtModule(import.meta.url, './inference-worker') // …/dist/runtimes/inference-worker.js
 */
export function builtModule(callerUrl: string, relative: string): string {
  const path = fileURLToPath(new URL(`${relative}.js`, callerUrl))
  return callerUrl.endsWith('.ts')
    ? path.replace(/([\\/])src([\\/])(?!.*[\\/]src[\\/])/, '$1dist$2')
    : path
}
