/** Seeded random numbers (deterministic everywhere) and the only reader of the system's entropy. */

export interface Rng {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [0, bound). */
  int(bound: number): number
  /** Standard normal, Box–Muller. */
  normal(): number
  /** One element, uniformly. */
  pick<T>(items: readonly T[]): T
  /** Fisher–Yates, in place; returns its argument. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T
  /** An independent stream named by `label`. */
  fork(label: string): Rng
}

/** FNV-1a of the UTF-16 code units, then murmur's finaliser: 32 bits, unsigned. */
export function hash32(text: string, seed = 0): number {
  let h = (0x811c9dc5 ^ seed) >>> 0
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** sfc32 seeded by hashing; passes PractRand (C. Doty-Humphrey). Not for secrets. */
export function createRng(seed: number | string): Rng {
  const name = String(seed)
  let a = hash32(name, 1)
  let b = hash32(name, 2)
  let c = hash32(name, 3)
  let counter = 1
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    return (t >>> 0) / 4294967296
  }
  for (let i = 0; i < 12; i++) next()
  const rng: Rng = {
    next,
    int: bound => Math.floor(next() * bound),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    pick: items => items[rng.int(items.length)] as (typeof items)[number],
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = rng.int(i + 1)
        const held = items[i]
        ;(items as { [index: number]: unknown })[i] = items[j]
        ;(items as { [index: number]: unknown })[j] = held
      }
      return items
    },
    fork: label => createRng(`${name}/${label}`),
  }
  return rng
}

/** Fetched ahead, since every call of the system costs; each byte is handed out once and cleared. */
const entropy = new Uint8Array(4096)
let entropyUsed = entropy.length

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function nextByte(): number {
  if (entropyUsed === entropy.length) {
    globalThis.crypto.getRandomValues(entropy)
    entropyUsed = 0
  }
  const byte = entropy[entropyUsed] as number
  entropy[entropyUsed++] = 0
  return byte
}

/** `length` bytes of system entropy as lower-case hexadecimal. */
export function randomHex(length: number): string {
  let text = ''
  for (let i = 0; i < length; i++) text += HEX[nextByte()]
  return text
}

/** Uniform in [0, 1) from system entropy, for decisions that must not be predictable. */
export function randomUnit(): number {
  let value = 0
  for (let i = 0; i < 4; i++) value = value * 256 + nextByte()
  return value / 4294967296
}
