/** Layer 0, Node only: files and processes. */

export { kernelFamily } from './cpu.ts'
export { builtModule } from './entry.ts'
export {
  makeFolder,
  readRange,
  sha256,
  sha256File,
  sha256Joined,
  writeFileAtomic,
} from './files.ts'
export { lowerPriority, type Priority } from './priority.ts'
export {
  currentProcess,
  isProcessIdentity,
  type Liveness,
  type ProcessIdentity,
  processLiveness,
} from './process-identity.ts'
