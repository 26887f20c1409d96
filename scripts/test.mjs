/** Runs lint and types as one test, then the vitest suite; the last line is `N passed, N failed[, N skipped]`. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))

function main() {
  const isCheckOk = check()
  const folder = mkdtempSync(join(tmpdir(), 'understudy-test-'))
  const suite = runSuite(join(folder, 'result.json'))
  rmSync(folder, { recursive: true, force: true })

  for (const line of suite.broken) say(`broken: ${line}`)
  for (const line of suite.skipped) say(`skipped: ${line}`)
  const passed = suite.passed + (isCheckOk ? 1 : 0)
  const failed = suite.failed + suite.broken.length + (isCheckOk ? 0 : 1)
  const skipped = suite.skipped.length === 0 ? '' : `, ${suite.skipped.length} skipped`
  say(`${passed} passed, ${failed} failed${skipped}`)
  process.exitCode = failed === 0 ? 0 : 1
}

/** Lint, format and types; silent when all is well. */
function check() {
  const commands = [
    ['node_modules/@biomejs/biome/bin/biome', 'check', '--colors=off', '.'],
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json', '--noEmit'],
  ]
  const results = commands.map(args => spawnSync(process.execPath, args, { encoding: 'utf8' }))
  for (const result of results) {
    if (result.status !== 0) say(`${result.stdout}${result.stderr}`.trimEnd())
  }
  return results.every(result => result.status === 0)
}

function runSuite(resultPath) {
  const args = ['run', '--reporter=dot', '--reporter=./scripts/test-reporter.mjs']
  const done = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', ...args, ...process.argv.slice(2)],
    { stdio: 'inherit', env: { ...process.env, UNDERSTUDY_TEST_RESULT: resultPath } },
  )
  try {
    const result = JSON.parse(readFileSync(resultPath, 'utf8'))
    if (done.status !== 0 && result.failed === 0 && result.broken.length === 0) {
      result.broken.push(`vitest ended with code ${done.status} although no test failed`)
    }
    return result
  } catch {
    const how = done.signal ?? `code ${done.status}`
    return { passed: 0, failed: 0, skipped: [], broken: [`vitest ended early (${how})`] }
  }
}

function say(line) {
  process.stdout.write(`${line}\n`)
}

main()
