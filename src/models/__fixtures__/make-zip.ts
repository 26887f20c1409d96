/** Makes small zip files for tests: true ones, and ones that lie. */
import { crc32, deflateRawSync } from 'node:zlib'

export interface ZipPart {
  readonly name: string
  readonly data: Uint8Array
  readonly method?: 'stored' | 'deflated'
  /** Compression method number written instead of the true one. */
  readonly claimedMethod?: number
  readonly claimedOffset?: number
}

export function makeZip(parts: readonly ZipPart[]): Buffer {
  const locals: Buffer[] = []
  const entries: Buffer[] = []
  let offset = 0
  for (const part of parts) {
    const name = Buffer.from(part.name)
    const packed = part.method === 'stored' ? Buffer.from(part.data) : deflateRawSync(part.data)
    const method = part.claimedMethod ?? (part.method === 'stored' ? 0 : 8)
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(method, 4)
    common.writeUInt32LE(typeof crc32 === 'function' ? crc32(part.data) : 0, 10)
    common.writeUInt32LE(packed.length, 14)
    common.writeUInt32LE(part.data.length, 18)
    common.writeUInt16LE(name.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name, packed])
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(part.claimedOffset ?? offset, 10)
    const signature = Buffer.from('PK\x01\x02\x14\x00', 'latin1')
    entries.push(Buffer.concat([signature, common, rest, name]))
    locals.push(local)
    offset += local.length
  }
  const directory = Buffer.concat(entries)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 0, 'latin1')
  end.writeUInt16LE(parts.length, 8)
  end.writeUInt16LE(parts.length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, directory, end])
}
