import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    // An embedded database that closes beside other work takes its time.
    hookTimeout: 60_000,
    // Two cores: more workers than that only makes tests with real processes flaky.
    maxWorkers: 2,
    pool: 'forks',
    // Jobs of one test must not starve beside another test.
    env: { UNDERSTUDY_JOB_PRIORITY: 'normal' },
  },
})
