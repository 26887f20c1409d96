/** Which packages make the llama.cpp runtime on which platform. A table; knows no npm. */
import { UnderstudyError } from '../errors.ts'

/** Pinned: the typed part in `llama-binding.ts` was written against it. */
export const LLAMA_VERSION = '3.22.1'

/** CPU builds; Apple silicon has only the Metal build, which also runs on the CPU. */
const PACKAGES: Readonly<Record<string, string>> = {
  'linux-x64': '@node-llama-cpp/linux-x64',
  'linux-arm64': '@node-llama-cpp/linux-arm64',
  'linux-arm': '@node-llama-cpp/linux-armv7l',
  'linux-riscv64': '@node-llama-cpp/linux-riscv64',
  'darwin-arm64': '@node-llama-cpp/mac-arm64-metal',
  'darwin-x64': '@node-llama-cpp/mac-x64',
  'win32-x64': '@node-llama-cpp/win-x64',
  'win32-arm64': '@node-llama-cpp/win-arm64',
}

/**
 * The package that holds this platform's native code.
 * @throws runtime-missing where there is none
 */
export function platformPackage(platform: string, arch: string): string {
  const name = PACKAGES[`${platform}-${arch}`]
  if (name !== undefined) return name
  throw new UnderstudyError('runtime-missing', `llama.cpp has no build for ${platform}-${arch}.`, {
    help: 'Use a lead behind a URL instead: `understudy up --lead http://…`.',
  })
}
