/** Rows of (text, label): each becomes a chat request with one user message, answered by the label. */
import { chatEntry, type JsonObject, type ParsedLine, rejected } from './entry.ts'

/** Stands where a model's name would: nobody was asked. */
export const LABELLED_MODEL = 'labels'

export function matchesLabelled(line: JsonObject): boolean {
  const names = Object.keys(line).map(name => name.trim().toLowerCase())
  return names.includes('text') && names.includes('label')
}

export function parseLabelled(line: JsonObject): ParsedLine {
  const text = field(line, 'text')
  const label = field(line, 'label')
  if (text === null || text.trim() === '') return rejected('text is missing or empty')
  if (label === null || label.trim() === '') return rejected('label is missing or empty')
  return labelledEntry(text, label)
}

function field(line: JsonObject, wanted: string): string | null {
  for (const [name, value] of Object.entries(line)) {
    if (name.trim().toLowerCase() !== wanted) continue
    if (typeof value === 'string') return value
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  }
  return null
}

function labelledEntry(text: string, label: string): ParsedLine {
  const message = { role: 'assistant', content: label.trim() }
  return chatEntry({
    id: null,
    time: null,
    request: { model: LABELLED_MODEL, messages: [{ role: 'user', content: text }] },
    response: {
      object: 'chat.completion',
      choices: [{ index: 0, message, finish_reason: 'stop' }],
    },
  })
}
