/** One data folder, opened. */
export {
  type OpenChildWorkspaceOptions,
  type OpenWorkspaceOptions,
  openChildWorkspace,
  openWorkspace,
} from './open-workspace.ts'
export { type LockOwner, lockOwner } from './owner-lock.ts'
export type * from './types.ts'
