/** A vitest reporter that writes counts and the reasons of skipped tests to a JSON file for scripts/test.mjs. */
import { writeFileSync } from 'node:fs'

export default class TestReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const result = { passed: 0, failed: 0, skipped: [], broken: [] }
    for (const module of modules) {
      for (const test of module.children.allTests()) count(test, module, result)
      // A file that could not be loaded has no tests, and must not look like a success.
      for (const error of module.errors()) {
        result.broken.push(`${module.relativeModuleId}: ${error.message}`)
      }
    }
    for (const error of unhandledErrors) result.broken.push(`outside any test: ${error.message}`)
    writeFileSync(process.env.UNDERSTUDY_TEST_RESULT, JSON.stringify(result))
  }
}

function count(test, module, result) {
  const { state, note } = test.result()
  if (state === 'passed') result.passed++
  else if (state === 'failed') result.failed++
  else
    result.skipped.push(`${module.relativeModuleId}: ${test.fullName}${note ? ` (${note})` : ''}`)
}
