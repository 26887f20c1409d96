/** Answers from a closed set: a label as text, a JSON object, or a forced tool call. Knows no model and no traffic. */
import { canonicalJson, countBy } from '../util/index.ts'
import type { Answer } from '../wire/index.ts'
import type { OutputKind } from './output-kind.ts'

export interface ClosedSetClass {
  /** The answer in canonical form; what a specialist's output is. */
  readonly key: string
  /** The part of the answer that varies between classes, for people. */
  readonly label: string
  /** The answer exactly as the lead most often wrote it. */
  readonly answer: Answer
}

export interface ClosedSetSchema {
  readonly classes: readonly ClosedSetClass[]
}

/** More classes than this are treated as free text. */
const MAX_CLASS_COUNT = 1000
/** An answer seen once may be noise; only what returns is a class. */
const MIN_CLASS_COUNT = 2
/** Share of the lead's answers that must lie in the set for the task to count as closed. */
const MIN_SHARE = 0.8
const MIN_ANSWERS = 10
const MAX_ANSWER_LENGTH = 4000

/** Equal for two answers exactly when a caller that reads them could not tell them apart. */
export function answerKey(answer: Answer): string {
  if (answer.kind === 'tool') return `${answer.name}(${canonicalText(answer.argumentsText)})`
  return canonicalText(answer.text)
}

export const closedSet: OutputKind<string, ClosedSetSchema> = {
  name: 'closed-set',

  recognise(answers) {
    const given = answers.filter(answer => answer !== null)
    if (given.length < MIN_ANSWERS) {
      return {
        schema: null,
        reason: `only ${given.length} answers, at least ${MIN_ANSWERS} are needed`,
      }
    }
    const byKey = groupByKey(given)
    const kept = [...byKey].filter(([, group]) => group.length >= MIN_CLASS_COUNT)
    const inside = kept.reduce((sum, [, group]) => sum + group.length, 0)
    if (inside < MIN_SHARE * answers.length) {
      const percent = Math.round((100 * inside) / answers.length)
      return {
        schema: null,
        reason: `answers are free text: ${byKey.size} different ones among ${answers.length}, and only ${percent} % return`,
      }
    }
    if (kept.length > MAX_CLASS_COUNT) {
      return {
        schema: null,
        reason: `${kept.length} different answers, more than ${MAX_CLASS_COUNT}`,
      }
    }
    const classes = kept
      .map(([key, group]) => ({ key, answer: mostFrequent(group) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
    if (classes.some(({ answer }) => rawText(answer).length > MAX_ANSWER_LENGTH)) {
      return { schema: null, reason: `answers are longer than ${MAX_ANSWER_LENGTH} characters` }
    }
    const labels = labelsOf(classes.map(({ answer }) => answer))
    return {
      schema: { classes: classes.map((item, i) => ({ ...item, label: labels[i] ?? item.key })) },
    }
  },

  parse(schema, answer) {
    const key = answerKey(answer)
    return classOf(schema, key) === undefined ? null : key
  },

  render(schema, output) {
    const found = classOf(schema, output)
    if (found === undefined)
      throw new RangeError(`no class ${JSON.stringify(output)} in the schema`)
    return found.answer
  },

  compare(_schema, expected, got) {
    return expected === got ? 0 : 1
  },
}

const indexes = new WeakMap<ClosedSetSchema, ReadonlyMap<string, ClosedSetClass>>()

/** The class with this key. */
export function classOf(schema: ClosedSetSchema, key: string): ClosedSetClass | undefined {
  let index = indexes.get(schema)
  if (index === undefined) {
    index = new Map(schema.classes.map(item => [item.key, item]))
    indexes.set(schema, index)
  }
  return index.get(key)
}

function canonicalText(text: string): string {
  const trimmed = text.trim()
  const parsed = parseContainer(trimmed)
  try {
    return parsed === undefined ? trimmed : canonicalJson(parsed)
  } catch {
    return trimmed // nested deeper than the stack
  }
}

/** The JSON object or array in a text, undefined where it is neither: a bare `yes`, `1` or `"a"` stays text. */
function parseContainer(text: string): object | undefined {
  if (!/^[[{]/.test(text)) return undefined
  try {
    return JSON.parse(text) as object
  } catch {
    return undefined
  }
}

function groupByKey(answers: readonly Answer[]): Map<string, Answer[]> {
  const groups = new Map<string, Answer[]>()
  for (const answer of answers) {
    const key = answerKey(answer)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [answer])
    else group.push(answer)
  }
  return groups
}

function rawText(answer: Answer): string {
  return answer.kind === 'text' ? answer.text : answer.argumentsText
}

function mostFrequent(answers: readonly Answer[]): Answer {
  const counts = countBy(answers, rawText)
  let best = answers[0] as Answer
  for (const answer of answers) {
    if ((counts.get(rawText(answer)) ?? 0) > (counts.get(rawText(best)) ?? 0)) best = answer
  }
  return best
}

/** The one field that differs between JSON answers, else the whole text. */
function labelsOf(answers: readonly Answer[]): string[] {
  const texts = answers.map(answer => rawText(answer).trim())
  const objects = texts.map(parseContainer)
  if (!objects.every(isRecord)) return texts
  const fields = new Set(objects.flatMap(object => Object.keys(object)))
  const varying = [...fields].filter(
    field => new Set(objects.map(object => JSON.stringify(object[field]))).size > 1,
  )
  const [field] = varying.length === 0 ? [...fields] : varying
  if (varying.length > 1 || field === undefined) return texts
  return objects.map(object =>
    typeof object[field] === 'string' ? object[field] : (JSON.stringify(object[field]) ?? ''),
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
