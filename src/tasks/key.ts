/**
 * Which task a request belongs to, by hard keys: app, model, exact system prompt, answer form, sequence of roles. The one
 * user message is the slot. Templated traffic, where the template hides inside the user message, will hook in at `slotOf`.
 */
import type { DeclaredTask } from '../config/index.ts'
import { sha256 } from '../platform/index.ts'
import { clip, normaliseText } from '../util/index.ts'
import type { ChatRequest } from '../wire/index.ts'

/** A task as the traffic defines it. */
export interface TaskIdentity {
  readonly id: string
  readonly name: string
  readonly isDeclared: boolean
  readonly key: TaskKey
}

export type TaskKey =
  | { readonly declared: string }
  | {
      readonly app: string | null
      readonly model: string
      readonly systemText: string
      readonly form: string
      readonly roles: readonly string[]
    }

/** The varying part of a request: what a specialist sees. Null where the request is not of a shape that can be learned. */
export function slotOf(request: ChatRequest): string | null {
  const unlearnable = request.escalations.some(
    ({ reason }) =>
      reason === 'several-turns' ||
      reason === 'empty-input' ||
      reason === 'non-text-content' ||
      reason === 'pass-through',
  )
  return unlearnable ? null : request.userText
}

/** SHA-256 under which two inputs count as the same. */
export function inputHash(input: string): string {
  return sha256(normaliseText(input))
}

/** The task with this declared name. */
export function declaredTask(name: string): TaskIdentity {
  return { id: taskId({ declared: name }), name, isDeclared: true, key: { declared: name } }
}

/** The task that a request's own features define, null where its shape cannot be learned. */
export function keyedTask(request: ChatRequest, app: string | null): TaskIdentity | null {
  if (slotOf(request) === null) return null
  const key = keyOf(request, app)
  const id = taskId(key)
  return { id, name: nameOf(request, app, id), isDeclared: false, key }
}

function keyOf(request: ChatRequest, app: string | null): TaskKey {
  return {
    app,
    model: request.model,
    systemText: request.systemText,
    form: request.formKey,
    roles: request.roles,
  }
}

/** A task as routing needs it. */
export interface TaskReference {
  readonly id: string
  /** Null for a task that the traffic defines. */
  readonly declaredName: string | null
}

/**
 * The tasks that may answer a request, the most specific first: named by header, bound by configuration, keyed with the
 * request's app, keyed without app (a log line without app matches any app). On the path of every request.
 */
export function candidateTasks(
  request: ChatRequest,
  { app, declared }: { app: string | null; declared: string | null },
  bindings: readonly DeclaredTask[],
): readonly TaskReference[] {
  const bound = bindings.filter(({ match }) => match !== null && matches(match, request, app))
  const names = declared === null ? bound.map(({ name }) => name) : [declared]
  const apps = slotOf(request) === null ? [] : [...new Set([app, null])]
  return [
    ...names.map(name => ({ id: taskId({ declared: name }), declaredName: name })),
    ...apps.map(value => ({ id: taskId(keyOf(request, value)), declaredName: null })),
  ]
}

function matches(
  match: NonNullable<DeclaredTask['match']>,
  request: ChatRequest,
  app: string | null,
): boolean {
  return (
    (match.app === undefined || match.app === app) &&
    (match.model === undefined || match.model === request.model) &&
    (match.system === undefined || match.system === request.systemText)
  )
}

function taskId(key: TaskKey): string {
  // Keys are built in one place each, so the order of their fields is always the same.
  return `task_${sha256(JSON.stringify(key)).slice(0, 24)}`
}

/** A readable name from the first words of the system prompt; the id keeps it unique. */
function nameOf(request: ChatRequest, app: string | null, id: string): string {
  const source = request.systemText === '' ? request.model : request.systemText
  const words = normaliseText(clip(source, 400)).match(/[\p{L}\p{N}]+/gu) ?? []
  const slug = words.slice(0, 5).join('-').slice(0, 40)
  return [app, slug, id.slice(-4)].filter(Boolean).join('-')
}
