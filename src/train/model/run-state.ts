/** What a broken-off run needs to go on: what the search has tried, and a folder for its checkpoint. */
import { join } from 'node:path'
import { z } from 'zod'
import { UnderstudyError } from '../../errors.ts'
import { sha256 } from '../../platform/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { parseRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { makeStateFolder, readState, writeState } from '../state-folder.ts'
import type { RunRecord, Tried } from './run-record.ts'

/** Decisions of the search that must not be taken anew: they depended on timing. */
export interface SearchState {
  readonly tried: readonly Tried[]
  /** What was being fitted when the state was written. */
  readonly current: { readonly name: string; readonly recipe: Recipe } | null
  /** Where the search has ended. */
  readonly chosen: { readonly recipe: Recipe; readonly rowsUsed: RunRecord['rowsUsed'] } | null
  readonly spentMs: number
}

export interface RunState {
  /** Of this order alone. */
  readonly folder: string
  readonly search: SearchState
  /** Atomic. */
  save(search: SearchState): Promise<void>
}

const NOTHING: SearchState = { tried: [], current: null, chosen: null, spentMs: 0 }

const schema = z.looseObject({
  tried: z.array(z.looseObject({ recipe: z.unknown() })),
  current: z.looseObject({ recipe: z.unknown() }).nullable(),
  chosen: z.looseObject({ recipe: z.unknown() }).nullable(),
  spentMs: z.number(),
})

/** The state of an order, empty where it is new. @throws file-unreadable, file-corrupt */
export async function openRunState(stateDir: string, order: unknown): Promise<RunState> {
  const folder = join(stateDir, sha256(canonicalJson(order)).slice(0, 16))
  const path = join(folder, 'state.json')
  await makeStateFolder(folder)
  const text = (await readState(path))?.toString('utf8') ?? null
  return {
    folder,
    search: text === null ? NOTHING : parseState(path, text),
    save: search => writeState(path, JSON.stringify(search)),
  }
}

function parseState(path: string, text: string): SearchState {
  try {
    const state = schema.parse(JSON.parse(text)) as unknown as SearchState
    const checked = <One extends { readonly recipe: Recipe }>(one: One) => ({
      ...one,
      recipe: parseRecipe(one.recipe),
    })
    const { tried, current, chosen } = state
    return {
      ...state,
      tried: tried.map(checked),
      current: current && checked(current),
      chosen: chosen && checked(chosen),
    }
  } catch (cause) {
    throw new UnderstudyError('file-corrupt', `${path} is damaged.`, {
      help: 'Delete its folder to start this training from its beginning.',
      cause,
    })
  }
}
