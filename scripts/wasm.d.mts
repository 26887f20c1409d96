/** The bytes of src/engine/adamw.wat, base64. */
export function assemble(): Promise<string>
