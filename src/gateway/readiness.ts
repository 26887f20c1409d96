/** Whether this process should get traffic, and what of its recording does not work. Decides nothing. */
import type { Access, SpendState } from '../access/index.ts'
import type { WorkspaceHealth } from '../workspace/index.ts'
import type { GatewayWorkspace } from './context.ts'
import type { Recorder } from './recorder.ts'
import { jsonReply, type Reply } from './reply.ts'

export interface GatewayHealth extends WorkspaceHealth {
  /** Of the file of what keys used. */
  readonly spend: SpendState
}

export function healthOf(
  workspace: Pick<GatewayWorkspace, 'health'>,
  access: Access,
): GatewayHealth {
  return { ...workspace.health(), spend: access.spendState }
}

export interface Readiness {
  readonly isDraining: boolean
  /** The specialists that the store names were opened, or there are none. */
  readonly isStageOpen: boolean
  readonly isRecordingLate: boolean
  readonly health: GatewayHealth
}

/**
 * `GET /readyz`: 503 until the specialists are open, and again once the gateway was told to stop. A ledger, database or file
 * that fails later is named, and leaves the status 200: requests are served, so taking the gateway out of rotation would turn
 * a gap in the record into an outage.
 */
export function readinessReply({
  isDraining,
  isStageOpen,
  isRecordingLate,
  health,
}: Readiness): Reply {
  const isReady = isStageOpen && !isDraining
  const ledger = health.ledger === 'ok' && isRecordingLate ? 'late' : health.ledger
  const { store, spend } = health
  const isWell = [ledger, store, spend].every(part => part === 'ok')
  const status = isDraining ? 'draining' : !isStageOpen ? 'starting' : isWell ? 'ready' : 'degraded'
  return jsonReply(
    {
      status,
      parts: { specialists: isStageOpen ? 'ok' : 'not open yet', ledger, store, spend },
      error: health.error,
    },
    isReady ? 200 : 503,
  )
}

/** Tells callers of a recording that does not work: `unavailable` (no record, or no promise), `delayed` (ledger only). */
export function withRecordingState(
  reply: Reply,
  {
    workspace,
    recorder,
  }: { readonly workspace: Pick<GatewayWorkspace, 'health'>; readonly recorder: Recorder },
): Reply {
  const { ledger, store } = workspace.health()
  if (ledger === 'ok' && store === 'ok' && !recorder.isLate) return reply
  const state = ledger === 'ok' && !recorder.isLate ? 'delayed' : 'unavailable'
  return { ...reply, headers: { ...reply.headers, 'x-understudy-recording': state } }
}
