/** Reads the version from package.json, so that it stands in one place. */
import { readFileSync } from 'node:fs'

/** The version of this package, e.g. `0.1.0`. */
export function packageVersion(): string {
  // Both src/cli and dist/cli lie two folders below the package.
  const path = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
