/** What a client is told. */
import type { Call } from './calls.ts'

export interface Order {
  readonly client: 'openai' | 'anthropic'
  readonly baseUrl: string
  readonly headers: Readonly<Record<string, string>>
  readonly calls: readonly Call[]
}
