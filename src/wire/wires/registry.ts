/** Every wire by its path. */
import { CHAT } from './chat.ts'
import { COMPLETIONS } from './completions.ts'
import { DECISIONS } from './decisions.ts'
import { EMBEDDINGS } from './embeddings.ts'
import { MESSAGES } from './messages.ts'
import { RESPONSES } from './responses.ts'
import type { Wire } from './wire.ts'

/** In the order in which they are documented. */
export const WIRES: readonly Wire[] = [
  CHAT,
  COMPLETIONS,
  EMBEDDINGS,
  RESPONSES,
  MESSAGES,
  DECISIONS,
]

const BY_PATH: ReadonlyMap<string, Wire> = new Map(WIRES.map(wire => [wire.path, wire]))

/** The wire that speaks at this path, null where the path is only passed on. */
export function wireAt(path: string): Wire | null {
  return BY_PATH.get(path) ?? null
}
