export const ERROR_MEANINGS: Readonly<Record<string, string>>
export function renderReference(parts: {
  readonly commands: readonly unknown[]
  readonly errors: object
  readonly settings: object
  readonly fileName: (name: string) => string
  readonly commandHelp: (command: never) => string
  readonly operators: object
  readonly gradients: object
}): Readonly<Record<string, string>>
export function withRegion(page: string, existing: string | null, body: string): string

export declare const SCHEMA_FILE: string
export declare function renderJsonSchema(schema: Readonly<Record<string, unknown>>): string
