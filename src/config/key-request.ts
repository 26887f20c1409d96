/** A virtual key as a request describes it: the rules of the file, under the names of the API. */
import { z } from 'zod'
import { UnderstudyError } from '../errors.ts'
import { nearest } from '../util/index.ts'
import { type KeyRules, keyRules } from './keys.ts'
import { keyLimits } from './sections.ts'

const schema = z.strictObject({
  name: z
    .string('must be text')
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}$/u,
      'must be at most 100 letters, digits and . _ : / @ -',
    ),
  app: keyLimits.app,
  role: keyLimits.role,
  models: keyLimits.models,
  requestsPerMinute: keyLimits['requests-per-minute'],
  tokensPerMinute: keyLimits['tokens-per-minute'],
  budget: keyLimits.budget,
  expires: keyLimits.expires,
})

/** @throws request-invalid, naming the field */
export function parseKeyRequest(body: unknown): {
  readonly name: string
  readonly rules: KeyRules
} {
  const parsed = schema.safeParse(body)
  if (!parsed.success) throw invalid(parsed.error.issues[0] as z.core.$ZodIssue)
  const { name, requestsPerMinute, tokensPerMinute, ...rest } = parsed.data
  const rules = keyRules({
    ...rest,
    'requests-per-minute': requestsPerMinute,
    'tokens-per-minute': tokensPerMinute,
  })
  // A key that nobody gave a role is the least one: the file's default is for operators who write files.
  return { name, rules: { ...rules, role: rest.role ?? 'caller' } }
}

function invalid(issue: z.core.$ZodIssue): UnderstudyError {
  if (issue.code === 'unrecognized_keys') {
    const [unknown = ''] = issue.keys
    const near = nearest(unknown, Object.keys(schema.shape))
    return new UnderstudyError('request-invalid', `There is no field '${unknown.slice(0, 80)}'.`, {
      help: near === null ? 'Leave it out.' : `Did you mean '${near}'?`,
      details: { param: unknown },
    })
  }
  const label = issue.path.map(String).join('.')
  return new UnderstudyError('request-invalid', `${label || 'The body'} ${issue.message}.`, {
    help: label === '' ? 'Send {"name": …} with the rules of the key.' : `Correct ${label}.`,
    details: { param: label || null },
  })
}
