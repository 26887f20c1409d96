/** The stub lead and a connection to it, for all tests of a file. */
import { afterAll } from 'vitest'
import { openRemoteLead } from '../../src/runtimes/index.ts'
import { openStubLead } from './stub-lead.ts'

/** Both are closed after the last test. */
export async function stubbedLead() {
  const stub = await openStubLead()
  const lead = openRemoteLead({ url: stub.url })
  afterAll(async () => {
    await lead.close()
    await stub.close()
  })
  return { stub, lead }
}
