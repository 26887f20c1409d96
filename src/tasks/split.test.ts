/** Groups and sides: near-duplicates together, sides kept for ever, bridges to training. */
import { describe, expect, it } from 'vitest'
import { createRng, normaliseText } from '../util/index.ts'
import { inputHash, linkNearDuplicates, type Split, splitInputs } from './index.ts'
import { BAND_COUNT, bandKeys, jaccard, shingles } from './minhash.ts'

const words =
  'amber birch cedar delta ember fjord grove heron inlet jetty kelp lotus maple north olive'.split(
    ' ',
  )

function texts(count: number, seed = 'texts'): string[] {
  const rng = createRng(seed)
  const made = new Set<string>()
  while (made.size < count) {
    made.add(`${Array.from({ length: 7 }, () => rng.pick(words)).join(' ')} ${rng.int(1e9)}`)
  }
  return [...made]
}

const long = 'please send me a new debit card because mine was stolen in the station last night'

describe('shingles and Jaccard', () => {
  it('is exact on sets that fit', () => {
    const a = Uint32Array.from([1, 2, 3, 4])
    expect(jaccard(a, Uint32Array.from([3, 4, 5]))).toBe(2 / 5)
    expect(jaccard(a, a)).toBe(1)
    expect(jaccard(a, Uint32Array.from([9]))).toBe(0)
  })

  it('keeps texts shorter than a shingle, and empty ones, apart', () => {
    expect(shingles('')).toHaveLength(1)
    expect(jaccard(shingles('ja'), shingles('no'))).toBe(0)
    expect(jaccard(shingles('ja'), shingles('ja'))).toBe(1)
  })

  it('estimates the similarity of texts too long to keep whole', () => {
    const many = texts(2000).join(' ')
    const changed = texts(2000)
      .map((text, i) => (i % 10 === 0 ? text.split('').reverse().join('') : text))
      .join(' ')
    expect(jaccard(shingles(many), shingles(many))).toBe(1)
    expect(jaccard(shingles(many), shingles(changed))).toBeGreaterThan(0.7)
    expect(jaccard(shingles(many), shingles(changed))).toBeLessThan(0.95)
  })

  it('gives similar sets a common band and different ones rarely', () => {
    const rng = createRng('bands')
    const share = (similarity: number) => {
      let found = 0
      for (let r = 0; r < 300; r++) {
        const common = Math.round((200 * similarity) / (1 + similarity))
        const one = Array.from({ length: 100 }, () => rng.int(2 ** 32))
        const other = one.map((hash, i) => (i < common ? hash : rng.int(2 ** 32)))
        const keys = bandKeys(Uint32Array.from(one).sort())
        const against = bandKeys(Uint32Array.from(other).sort())
        if (keys.some((key, band) => key === against[band])) found++
      }
      return found / 300
    }
    expect(BAND_COUNT).toBe(21)
    expect(share(0.8)).toBeGreaterThan(0.97)
    expect(share(0.3)).toBeLessThan(0.1)
  })
})

describe('linkNearDuplicates', () => {
  const groupsOf = (list: string[]) => [...linkNearDuplicates(list.map(normaliseText)).component]

  it('joins what differs in punctuation or a letter, in any script', () => {
    expect(groupsOf([long, `${long}!`, long.replace('stolen', 'stollen')])).toEqual([0, 0, 0])
    const chinese = '我的银行卡昨天晚上在火车站被偷了请尽快给我寄一张新的卡谢谢您的帮助再见'
    expect(groupsOf([chinese, `${chinese}。`])).toEqual([0, 0])
  })

  it('keeps apart what differs in meaning-bearing words of a short text', () => {
    expect(groupsOf(['cancel my card', 'freeze my card', 'cancel my order'])).toEqual([0, 1, 2])
  })

  it('joins transitively', () => {
    const chain = [long, `${long} on my way`, `${long} on my way home today`]
    expect(jaccard(shingles(chain[0] as string), shingles(chain[2] as string))).toBeLessThan(0.8)
    expect(groupsOf(chain)).toEqual([0, 0, 0])
  })

  it('finds every pair that the slow way finds', () => {
    const rng = createRng('slow')
    const base = texts(60, 'slow')
    const list = base.flatMap(text => {
      const at = rng.int(text.length)
      return [text, text.slice(0, at) + text.slice(at + 1), `${text} ${rng.pick(words)}`]
    })
    const sets = list.map(shingles)
    const { component } = linkNearDuplicates(list)
    for (let i = 0; i < list.length; i++) {
      for (let j = 0; j < i; j++) {
        const similarity = jaccard(sets[i] as Uint32Array, sets[j] as Uint32Array)
        // A margin above the limit: MinHash may miss a pair that lies exactly on it.
        if (similarity >= 0.87) expect(component[i]).toBe(component[j])
      }
    }
  })
})

describe('splitInputs', () => {
  const sideOf = (split: Split, inputs: string[], input: string) =>
    split.ofInput[inputs.indexOf(input)]?.side

  /** A salt that puts the given texts on the given sides when they are found alone. */
  function saltFor(wanted: Record<string, 'training' | 'certification'>): string {
    for (let salt = 0; ; salt++) {
      const inputs = Object.keys(wanted)
      const { ofInput } = splitInputs({ inputs, salt: String(salt), certificationShare: 0.5 })
      if (inputs.every((input, i) => ofInput[i]?.side === wanted[input])) return String(salt)
    }
  }

  it('draws about the share asked for, by the salt alone', () => {
    const inputs = texts(3000)
    const one = splitInputs({ inputs, salt: 'a' })
    const share = one.ofInput.filter(row => row.side === 'certification').length / 3000
    expect(share).toBeGreaterThan(0.16)
    expect(share).toBeLessThan(0.24)
    expect(splitInputs({ inputs, salt: 'a' })).toEqual(one)
    expect(splitInputs({ inputs, salt: 'b' }).ofInput).not.toEqual(one.ofInput)
  })

  it('gives equal inputs one assignment and records it once', () => {
    const split = splitInputs({ inputs: [long, `  ${long.toUpperCase()}`, long], salt: '1' })
    expect(split.added).toHaveLength(1)
    expect(split.added[0]?.inputHash).toBe(inputHash(long))
    expect(new Set(split.ofInput.map(row => row.group)).size).toBe(1)
  })

  it('keeps every side when the same and more inputs come back, whatever the salt then', () => {
    const inputs = texts(400)
    const first = splitInputs({ inputs: inputs.slice(0, 200), salt: 'a' })
    const second = splitInputs({ inputs, existing: first.added, salt: 'b' })
    expect(second.ofInput.slice(0, 200)).toEqual(first.ofInput)
    expect(second.added).toHaveLength(200)
    expect(second.droppedGroups).toEqual([])
  })

  it('puts a newcomer on the side and in the group of its nearest', () => {
    const salt = saltFor({ [long]: 'certification' })
    const first = splitInputs({ inputs: [long], salt, certificationShare: 0.5 })
    const near = `${long}!`
    const second = splitInputs({
      inputs: [long, near],
      existing: first.added,
      salt: 'other',
      certificationShare: 0,
    })
    expect(second.added).toEqual([{ ...first.added[0], inputHash: inputHash(near) }])
  })

  it('sends a newcomer that bridges both sides to training and drops the certification group', () => {
    const left = `${long} and thanks`
    const right = long.split(' ').slice(2).join(' ')
    const salt = saltFor({ [left]: 'training', [right]: 'certification' })
    const first = splitInputs({ inputs: [left, right], salt, certificationShare: 0.5 })
    expect(new Set(first.added.map(row => row.group)).size).toBe(2)
    const inputs = [left, right, long]
    const second = splitInputs({ inputs, existing: first.added, salt })
    const dropped = first.added.find(row => row.side === 'certification')?.group
    expect(second.droppedGroups).toEqual([dropped])
    expect(second.added.map(row => row.side)).toEqual(['training'])
    expect(inputs.map(input => sideOf(second, inputs, input))).toEqual([
      'training',
      'training',
      'training',
    ])

    // The drop holds in later runs, for the old members and for whoever comes near them.
    const later = splitInputs({
      inputs: [...inputs, `${right}?`],
      existing: [...first.added, ...second.added],
      droppedGroups: second.droppedGroups,
      salt,
    })
    expect(later.ofInput.every(row => row.side === 'training')).toBe(true)
    expect(later.droppedGroups).toEqual([])
  })

  it('joins newcomers that are near each other before any side is drawn', () => {
    const split = splitInputs({ inputs: [long, `${long}!`, `${long} !!`], salt: '1' })
    expect(new Set(split.added.map(row => `${row.group} ${row.side}`)).size).toBe(1)
    expect(split.droppedGroups).toEqual([])
  })

  it('keeps assignments whose text is gone', () => {
    const gone = { inputHash: 'f'.repeat(64), group: 'grp_gone', side: 'training' as const }
    const split = splitInputs({ inputs: [long], existing: [gone], salt: '1' })
    expect(split.added).toHaveLength(1)
  })

  it('copes with no inputs, empty inputs and lone surrogates', () => {
    expect(splitInputs({ inputs: [], salt: '1' })).toEqual({
      ofInput: [],
      added: [],
      droppedGroups: [],
    })
    expect(splitInputs({ inputs: ['', ' \n', '\ud800'], salt: '1' }).added).toHaveLength(2)
  })

  it('takes a text that came 50,000 times for one', () => {
    const inputs = [...Array.from({ length: 50_000 }, () => long), ...texts(100)]
    const split = splitInputs({ inputs, salt: '1' })
    expect(split.added).toHaveLength(101)
    expect(split.ofInput).toHaveLength(50_100)
  })
})
