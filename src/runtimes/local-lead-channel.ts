/** Values pushed on one side, pulled on the other, in order. Unbounded: who pushes must be finite. */

export interface Channel<T> extends AsyncIterable<T> {
  push(value: T): void
  /** No more values; pulls end after those already pushed. */
  end(): void
  /** As `end`, but the pull after the last value throws. */
  fail(error: unknown): void
  /** The next value, null after the end. */
  next(): Promise<T | null>
}

/** A channel with one reader. */
export function createChannel<T>(): Channel<T> {
  const values: T[] = []
  let isEnded = false
  let failure: { readonly error: unknown } | null = null
  let wake = (): void => {}

  const finish = (): void => {
    isEnded = true
    wake()
  }
  const next = async (): Promise<T | null> => {
    while (values.length === 0 && !isEnded) {
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
    if (values.length > 0) return values.shift() as T
    if (failure !== null) throw failure.error
    return null
  }
  return {
    push(value) {
      values.push(value)
      wake()
    },
    end: finish,
    fail(error) {
      failure ??= { error }
      finish()
    },
    next,
    async *[Symbol.asyncIterator]() {
      for (let value = await next(); value !== null; value = await next()) yield value
    },
  }
}
