/**
 * Which inputs teach and which certify. A group's side is drawn once, by salted hash, and kept; knows no labels, so nothing
 * about the answers can leak into the choice.
 */
import type { Side, SplitAssignment, SplitPayload } from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import { normaliseText } from '../util/index.ts'
import { linkNearDuplicates } from './groups.ts'
import { inputHash } from './key.ts'

/** Share of input groups that certify, unless asked otherwise. */
export const CERTIFICATION_SHARE = 0.2

export interface SplitOptions {
  /** Inputs of the task in order of arrival, repeats and known ones included. */
  readonly inputs: readonly string[]
  /** What earlier runs assigned; always kept. Inputs whose text is gone stay assigned but attract nobody. */
  readonly existing?: readonly SplitAssignment[]
  /** Certification groups that earlier runs moved to training. */
  readonly droppedGroups?: readonly string[]
  /** Probability that a new group certifies. */
  readonly certificationShare?: number
  /** Salts the draw; the seed of the run. */
  readonly salt: string
}

export interface Split {
  /** Assignment of each input, in the order given, after drops. */
  readonly ofInput: readonly SplitAssignment[]
  /** New distinct inputs only: what the ledger has to add. */
  readonly added: SplitPayload['assignments']
  /** Certification groups that a newcomer connected with training; they train from now on. */
  readonly droppedGroups: SplitPayload['droppedGroups']
}

/**
 * Assigns every input a group and a side. Newcomers near a known group join the nearest and take its side; newcomers
 * that connect both sides go to training, and the certification groups they touch are dropped to training with them.
 */
export function splitInputs(options: SplitOptions): Split {
  const { inputs, existing = [], salt, certificationShare = CERTIFICATION_SHARE } = options
  const droppedBefore = new Set(options.droppedGroups ?? [])
  const known = new Map<string, SplitAssignment>()
  for (const row of existing) {
    known.set(row.inputHash, droppedBefore.has(row.group) ? { ...row, side: 'training' } : row)
  }
  const { hashes, distinct } = distinctInputs(inputs)
  const rows = [...distinct].map(([hash, text]) => ({ hash, text, known: known.get(hash) ?? null }))
  const linked = linkNearDuplicates(
    rows.map(row => row.text),
    rows.map(row => row.known?.group ?? null),
  )
  const members = new Map<number, number[]>()
  linked.component.forEach((root, i) => {
    const list = members.get(root)
    if (list === undefined) members.set(root, [i])
    else list.push(i)
  })
  const added: SplitAssignment[] = []
  const dropped = new Set<string>()
  for (const component of members.values()) {
    const newcomers = component.filter(i => rows[i]?.known === null)
    if (newcomers.length === 0) continue
    const settled = component.flatMap(i => rows[i]?.known ?? [])
    const training = settled.find(row => row.side === 'training')
    if (training !== undefined) {
      for (const row of settled) if (row.side === 'certification') dropped.add(row.group)
    }
    for (const i of newcomers) {
      const nearest = rows[linked.nearestKnown[i] as number]?.known ?? null
      const host = hostOf(nearest, training, settled)
      const hash = rows[i]?.hash as string
      if (host !== null) added.push({ inputHash: hash, group: host.group, side: host.side })
      else
        added.push(
          found(hash, rows[newcomers[0] as number]?.hash as string, salt, certificationShare),
        )
    }
  }
  const now = new Map(known)
  for (const row of added) now.set(row.inputHash, row)
  const ofInput = hashes.map(hash => {
    const row = now.get(hash) as SplitAssignment
    return dropped.has(row.group) ? { ...row, side: 'training' as const } : row
  })
  return { ofInput, added, droppedGroups: [...dropped].sort() }
}

/** The known input whose group a newcomer joins: its nearest, unless that lies on the side that has just been dropped. */
function hostOf(
  nearest: SplitAssignment | null,
  training: SplitAssignment | undefined,
  settled: readonly SplitAssignment[],
): SplitAssignment | null {
  if (nearest !== null && (training === undefined || nearest.side === 'training')) return nearest
  return training ?? settled[0] ?? null
}

function found(hash: string, founder: string, salt: string, share: number): SplitAssignment {
  const group = `grp_${founder.slice(0, 24)}`
  return { inputHash: hash, group, side: sideOf(founder, salt, share) }
}

/** Uniform in [0, 1) by SHA-256 of salt and founding input: the same on every machine, and unrelated to the text. */
function sideOf(founder: string, salt: string, share: number): Side {
  const draw = Number.parseInt(sha256(`${salt}\n${founder}`).slice(0, 12), 16) / 2 ** 48
  return draw < share ? 'certification' : 'training'
}

function distinctInputs(inputs: readonly string[]): {
  hashes: string[]
  distinct: Map<string, string>
} {
  // Repeats are common and hashing is not free: the raw text decides first.
  const seen = new Map<string, string>()
  const distinct = new Map<string, string>()
  const hashes = inputs.map(input => {
    let hash = seen.get(input)
    if (hash === undefined) {
      hash = inputHash(input)
      seen.set(input, hash)
      if (!distinct.has(hash)) distinct.set(hash, normaliseText(input))
    }
    return hash
  })
  return { hashes, distinct }
}
