/** Input groups: texts linked by near-duplication, transitively. Knows no sides and no labels. */
import { BAND_COUNT, bandKeys, jaccard, shingles } from './minhash.ts'

/** Two normalised texts at least this similar belong to one group. */
export const SAME_GROUP_SIMILARITY = 0.8

/** How many of a bucket's newest members are compared; bounds the cost where thousands of texts share a template. */
const BUCKET_SCAN = 32

export interface Linked {
  /** For each text the index of its component's first member; equal numbers mean one group. */
  readonly component: Int32Array
  /** For each newcomer the most similar known text it was linked with, −1 where there was none. */
  readonly nearestKnown: Int32Array
}

/**
 * Links texts whose shingle sets have Jaccard ≥ 0.8, verified exactly on the candidates that MinHash finds. `texts` are
 * normalised and distinct. `knownGroups[i]` is the group a text already has, null for newcomers: known texts keep theirs,
 * so two of different groups are joined only through a newcomer that is near both.
 */
export function linkNearDuplicates(
  texts: readonly string[],
  knownGroups: readonly (string | null)[] = texts.map(() => null),
): Linked {
  const sets = texts.map(shingles)
  const forest = new Forest(texts.length)
  const nearestKnown = new Int32Array(texts.length).fill(-1)
  const nearestSimilarity = new Float64Array(texts.length)
  const index = new BandIndex(texts.length)
  const compared = new Int32Array(texts.length).fill(-1)
  const known = uniteKnown(knownGroups, forest)
  for (const i of known) index.add(i, bandKeys(sets[i] as Uint32Array))
  for (let i = 0; i < texts.length; i++) {
    if (knownGroups[i] !== null) continue
    const set = sets[i] as Uint32Array
    const keys = bandKeys(set)
    index.visit(keys, j => {
      if (compared[j] === i) return
      compared[j] = i
      const isKnown = knownGroups[j] !== null
      if (!isKnown && forest.find(i) === forest.find(j)) return
      const similarity = jaccard(set, sets[j] as Uint32Array)
      if (similarity < SAME_GROUP_SIMILARITY) return
      forest.unite(i, j)
      if (isKnown && similarity > (nearestSimilarity[i] as number)) {
        nearestSimilarity[i] = similarity
        nearestKnown[i] = j
      }
    })
    index.add(i, keys)
  }
  return { component: forest.roots(), nearestKnown }
}

function uniteKnown(knownGroups: readonly (string | null)[], forest: Forest): number[] {
  const first = new Map<string, number>()
  const known: number[] = []
  knownGroups.forEach((group, i) => {
    if (group === null) return
    known.push(i)
    const other = first.get(group)
    if (other === undefined) first.set(group, i)
    else forest.unite(other, i)
  })
  return known
}

/** Disjoint sets with path halving; the smaller index becomes the root, so that a root is its set's first member. */
class Forest {
  readonly #parent: Int32Array

  constructor(count: number) {
    this.#parent = Int32Array.from({ length: count }, (_, i) => i)
  }

  find(item: number): number {
    const parent = this.#parent
    let at = item
    while (parent[at] !== at) {
      parent[at] = parent[parent[at] as number] as number
      at = parent[at] as number
    }
    return at
  }

  unite(a: number, b: number): void {
    const x = this.find(a)
    const y = this.find(b)
    this.#parent[Math.max(x, y)] = Math.min(x, y)
  }

  roots(): Int32Array {
    return this.#parent.map((_, i) => this.find(i))
  }
}

/** A chained hash table from band keys to texts, in flat arrays: two million entries are ordinary. */
class BandIndex {
  readonly #mask: number
  readonly #heads: Int32Array
  readonly #next: Int32Array
  readonly #keys: Int32Array

  constructor(textCount: number) {
    const entryCount = textCount * BAND_COUNT
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, 2 * entryCount)))
    this.#mask = size - 1
    this.#heads = new Int32Array(size).fill(-1)
    this.#next = new Int32Array(entryCount)
    this.#keys = new Int32Array(entryCount)
  }

  add(text: number, keys: Int32Array): void {
    for (let band = 0; band < BAND_COUNT; band++) {
      const entry = text * BAND_COUNT + band
      const key = keys[band] as number
      this.#keys[entry] = key
      this.#next[entry] = this.#heads[key & this.#mask] as number
      this.#heads[key & this.#mask] = entry
    }
  }

  /** Calls back with texts that share a band key, newest first, at most `BUCKET_SCAN` per band. */
  visit(keys: Int32Array, callback: (text: number) => void): void {
    for (let band = 0; band < BAND_COUNT; band++) {
      const key = keys[band] as number
      let entry = this.#heads[key & this.#mask] as number
      for (let seen = 0; entry >= 0 && seen < BUCKET_SCAN; entry = this.#next[entry] as number) {
        if (this.#keys[entry] !== key) continue
        seen++
        callback(Math.floor(entry / BAND_COUNT))
      }
    }
  }
}
