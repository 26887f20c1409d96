import { describe, expect, it } from 'vitest'
import { escapeHtml, html } from './html.ts'

describe('html', () => {
  it('escapes every value unless it is markup made by the same function', () => {
    const inner = html`<b>${'<i>'}</b>`
    expect(html`<p title="${'"><script>'}">${inner}${['a&b', inner]}${null}${3}</p>`.markup).toBe(
      '<p title="&quot;&gt;&lt;script&gt;"><b>&lt;i&gt;</b>a&amp;b<b>&lt;i&gt;</b>3</p>',
    )
  })

  it('replaces characters that would turn the text around, and keeps line breaks', () => {
    expect(escapeHtml('a\u202eb\u0000c\nd\te')).toBe('a\ufffdb\ufffdc\nd\te')
  })
})
