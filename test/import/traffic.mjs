/** Writes seeded traffic files of any size, for the memory test and the import benchmark. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'

/** A linear congruential generator (Numerical Recipes): enough to make lines differ. */
function createRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
}

/**
 * Writes at least `byteCount` bytes of native log lines of about `lineBytes` each.
 * @returns how many lines
 */
export async function writeTraffic(path, { byteCount, lineBytes, seed = 1 }) {
  const random = createRandom(seed)
  const file = createWriteStream(path)
  let lineCount = 0
  for (let written = 0; written < byteCount; lineCount++) {
    const line = trafficLine(lineCount, lineBytes, random)
    written += line.length
    if (!file.write(line)) await once(file, 'drain')
  }
  file.end()
  await once(file, 'finish')
  return lineCount
}

function trafficLine(index, lineBytes, random) {
  const words = []
  for (let length = 0; length < lineBytes - 320; length += 9)
    words.push(random().toString(36).padStart(8, '0'))
  const content = words.join(' ')
  return `${JSON.stringify({
    // Every other line has an id, so that both kinds of identity are exercised.
    ...(index % 2 === 0 ? { id: `line-${index}` } : {}),
    request: {
      model: 'gpt-4o-mini',
      messages: [
        { role: 'system', content: 'Sort the message.' },
        { role: 'user', content },
      ],
    },
    response: {
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: `label-${index % 7}` },
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 100, completion_tokens: 3, total_tokens: 103 },
    },
  })}\n`
}
