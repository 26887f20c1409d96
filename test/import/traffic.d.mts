export function writeTraffic(
  path: string,
  options: { readonly byteCount: number; readonly lineBytes: number; readonly seed?: number },
): Promise<number>
