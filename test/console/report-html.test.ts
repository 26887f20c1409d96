/** The report page: complete, escaped, self-contained, and quiet in a real browser. */
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chromium } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { renderReportHtml } from '../../src/console/index.ts'
import type { LearnReport } from '../../src/learn/index.ts'
import { sampleReport } from './sample-report.ts'

const report = sampleReport({ requestCount: 1500 })
const HOSTILE = [
  '<script>window.hacked=1</script>',
  '"><img src=x onerror="window.hacked=1">',
  "'-alert(1)-'",
  '</style><script>window.hacked=1</script>',
  '</title><svg onload="window.hacked=1">',
  '\u202egnp.exe\u0000',
  '<!--',
]

/** Every string of the report replaced, where it is somebody else's. */
function hostile(): LearnReport {
  let at = 0
  const next = (): string => HOSTILE[at++ % HOSTILE.length] as string
  return {
    ...report,
    notices: HOSTILE,
    leftAlone: HOSTILE.map(text => ({ name: text, app: text, requestCount: 1, because: text })),
    tasks: report.tasks.map(task => ({
      ...task,
      name: next(),
      key: {
        app: next(),
        model: next(),
        reportedModels: [next()],
        systemExcerpt: next(),
        coat: next(),
        isDeclared: false,
      },
      withoutAnswer: { [next()]: 1 },
      certificateId: next(),
      charts: task.charts && {
        ...task.charts,
        confusion: { ...task.charts.confusion, labels: task.charts.confusion.labels.map(next) },
        differences: task.charts.differences.map(one => ({
          ...one,
          input: next(),
          lead: next(),
          specialist: next(),
        })),
      },
    })),
  }
}

describe('the report page', () => {
  const page = renderReportHtml(report)

  it('says for every target risk what is certified, or why not', () => {
    for (const task of report.tasks) {
      for (const outcome of task.selective) {
        if (!outcome.claimed) expect(page).toContain(`No claim at`)
      }
      expect(page).toContain(task.name)
    }
    expect(page).toContain('Left to the lead')
    expect(page).toContain('Not redacted')
  })

  it('names its charts for those who cannot see them', () => {
    expect(page.match(/<svg /g)?.length).toBe(report.tasks.length * 2)
    expect(page.match(/<svg [^>]*role="img" aria-labelledby="[^"]+"><title /g)?.length).toBe(
      report.tasks.length * 2,
    )
    expect(page).not.toMatch(/NaN|undefined|\[object|Infinity/)
  })

  it('refers to nothing outside itself and holds no script', () => {
    expect(page).not.toMatch(/<script|<link|<img|src=|href=|url\(|@import/i)
  })

  it('is well formed: every element that is opened is closed', () => {
    const open: string[] = []
    for (const [, close, name, selfClosed] of page.matchAll(/<(\/?)([a-z0-9]+)\b[^>]*?(\/?)>/g)) {
      if (selfClosed === '/' || name === 'meta') continue
      if (close === '/') expect(open.pop()).toBe(name)
      else open.push(name as string)
    }
    expect(open).toEqual([])
  })

  it('renders a report in which nothing was learned', () => {
    const empty = renderReportHtml({
      ...report,
      tasks: [],
      leftAlone: [],
      totalCost: null,
      imported: null,
    })
    expect(empty).toContain('0 of 0 tasks certified')
  })

  it('lets no label or text become markup', () => {
    const markup = renderReportHtml(hostile())
    for (const part of ['<script', '<img', '<svg onload', '\u202e', '\u0000', '<!--']) {
      expect(markup).not.toContain(part)
    }
    expect(markup.match(/<\/style>/g)?.length).toBe(1)
    expect(markup.match(/<\/title>/g)?.length).toBe(page.match(/<\/title>/g)?.length)
  })
})

const BROWSER = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  path => existsSync(path),
)

describe.skipIf(BROWSER === undefined)(
  `in a browser${BROWSER === undefined ? ' (skipped: no Chromium on this system)' : ''}`,
  () => {
    it.each([
      ['light', 1100, report],
      ['dark', 390, report],
      ['light', 390, hostile()],
    ] as const)('opens in %s at %i pixels without errors, requests or sideways scrolling', async (scheme, width, shown) => {
      const server = createServer((_, response) => {
        response.setHeader('content-type', 'text/html; charset=utf-8')
        response.end(renderReportHtml(shown))
      })
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      const browser = await chromium.launch({
        executablePath: BROWSER as string,
        args: ['--no-sandbox'],
      })
      try {
        const page = await browser.newPage({
          viewport: { width, height: 800 },
          colorScheme: scheme,
        })
        const troubles: string[] = []
        const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
        page.on('console', message => troubles.push(message.text()))
        page.on('pageerror', error => troubles.push(String(error)))
        page.on('request', request => {
          // Chromium asks every site for its icon by itself.
          if (request.url() !== address && !request.url().endsWith('/favicon.ico'))
            troubles.push(request.url())
        })
        await page.goto(address)
        expect(await page.locator('section.card').count()).toBe(report.tasks.length + 1)
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
          width,
        )
        expect(await page.evaluate(() => 'hacked' in window)).toBe(false)
        expect(troubles).toEqual([])
      } finally {
        await browser.close()
        server.close()
      }
    })
  },
)
