/** HTML made of template strings in which every value is escaped unless it was made here. */

/** Markup that is safe to insert as it is. */
export interface Html {
  readonly markup: string
}

type Value = Html | string | number | null | readonly (Html | string)[]

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text as HTML text or attribute value; control and direction characters become visible. */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, char => ENTITIES[char] as string)
    .replace(/[\u202a-\u202e\u2066-\u2069]|(?![\n\t])\p{Cc}/gu, '\ufffd')
}

/** A template whose values are escaped; `Html` values and lists of them are inserted as they are, null as nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  let markup = parts[0] as string
  values.forEach((value, index) => {
    markup += insert(value) + (parts[index + 1] as string)
  })
  return { markup }
}

function insert(value: Value): string {
  if (value === null) return ''
  if (typeof value === 'string') return escapeHtml(value)
  if (typeof value === 'number') return String(value)
  if ('markup' in value) return value.markup
  return value.map(insert).join('')
}
