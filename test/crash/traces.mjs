/** Traces for crash tests. */

/** A trace entry whose size depends on its name, so that kills land everywhere. */
export function trace(name) {
  return {
    kind: 'trace',
    payload: {
      id: `dec_${name}`,
      identity: name,
      contentHash: 'c',
      source: 'gateway',
      time: new Date(0).toISOString(),
      app: null,
      endpoint: '/v1/chat/completions',
      request: { text: 'x'.repeat((name.length * 997) % 5_000) },
      response: {},
      status: 200,
      latencyMs: 1,
      isStream: false,
      isComplete: true,
      declaredTask: null,
      decision: null,
    },
  }
}
