/** JSON files of model folders, read with every value checked. Knows no file by name. */
import type { z } from 'zod'
import { UnderstudyError } from '../errors.ts'

export interface ModelJson {
  /** @throws model-corrupt naming the file and what is wrong in it */
  parse<Output>(file: string, schema: z.ZodType<Output>, text: string): Output
  corrupt(file: string, what: string, cause?: unknown): UnderstudyError
}

/** `help` is what to do where such a file cannot be used. */
export function modelJson(help: string): ModelJson {
  const corrupt: ModelJson['corrupt'] = (file, what, cause) =>
    new UnderstudyError('model-corrupt', `${file} cannot be used: ${what}`, { help, cause })
  return {
    corrupt,
    parse(file, schema, text) {
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch (cause) {
        throw corrupt(file, 'it is not JSON', cause)
      }
      const parsed = schema.safeParse(value)
      if (parsed.success) return parsed.data
      const what = parsed.error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`)
      throw corrupt(file, what.join('; '), parsed.error)
    },
  }
}
