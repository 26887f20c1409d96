/** What other processes on the same data folder counted: their files are read on as they grow. Writes nothing. */
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { addTo, parseLine, parseTotals, sumSince, type Totals, type Usage } from './spend-totals.ts'

export interface PeerSpend {
  /** Sum of all peers from a day on. */
  since(key: string, day: string): Usage
  /** Reads what is new. */
  refresh(): Promise<void>
  close(): void
}

export interface PeerSpendOptions {
  /** Folder of all processes' folders. */
  readonly root: string
  /** Name of the own one, which is left out. */
  readonly own: string
  readonly everyMs: number
  /** Told what peers used since the last look; not what they used before the first. */
  readonly onUsage: (key: string, usage: Usage) => void
}

interface Peer {
  /** Tells whether its totals were written anew. */
  mark: string
  generation: number
  /** What its totals hold, and what it appended since. */
  totals: Totals
  offset: number
}

/** Longest piece read at once; the rest follows. */
const PIECE_BYTES = 4 * 2 ** 20

export async function watchPeerSpend({
  root,
  own,
  everyMs,
  onUsage,
}: PeerSpendOptions): Promise<PeerSpend> {
  const peers = new Map<string, Peer>()
  let isFirst = true
  let underWay: Promise<void> | null = null

  const readPeer = async (name: string): Promise<void> => {
    const dir = join(root, name)
    const path = join(dir, 'totals.json')
    const mark = await stat(path).then(
      ({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`,
      () => null,
    )
    if (mark === null) return
    let peer = peers.get(name)
    if (peer?.mark !== mark) {
      const read = parseTotals(await readFile(path, 'utf8').catch(() => ''))
      if (read === null) return
      if (peer?.generation === read.generation) peer.mark = mark
      // What it folded meanwhile is in these totals, and was told when it was appended, or is older than the first look.
      else peer = { ...read, mark, offset: 0 }
      peers.set(name, peer)
    }
    const text = await readOn(join(dir, `${peer.generation}.jsonl`), peer)
    for (const line of text.split('\n')) {
      const row = parseLine(line)
      if (row === null) continue
      addTo(peer.totals, ...row)
      if (!isFirst) onUsage(row[0], row[2])
    }
  }
  const refresh = async (): Promise<void> => {
    const names = await readdir(root).catch(() => [])
    for (const name of names) {
      if (name !== own && /^spend(?:-\d+)?$/u.test(name)) await readPeer(name)
    }
    isFirst = false
  }
  const refreshOnce = (): Promise<void> => {
    underWay ??= refresh().finally(() => {
      underWay = null
    })
    return underWay
  }
  await refreshOnce()
  const timer = setInterval(() => void refreshOnce().catch(() => undefined), everyMs).unref()
  return {
    since: (key, day) =>
      sumSince(
        [...peers.values()].map(({ totals }) => totals),
        key,
        day,
      ),
    refresh: refreshOnce,
    close: () => clearInterval(timer),
  }
}

/** Whole lines behind the offset, which moves on; '' where there are none. */
async function readOn(path: string, peer: Peer): Promise<string> {
  const file = await open(path).catch(() => null)
  if (file === null) return ''
  try {
    const { size } = await file.stat()
    if (size <= peer.offset) return ''
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, size - peer.offset))
    const { bytesRead } = await file.read(piece, 0, piece.length, peer.offset)
    const end = piece.subarray(0, bytesRead).lastIndexOf(0x0a) + 1
    peer.offset += end
    return piece.toString('utf8', 0, end)
  } finally {
    await file.close()
  }
}
