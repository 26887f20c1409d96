/** Token counts that a lead would have reported, estimated from what it did report. */
import type { Usage } from '../wire/index.ts'

/** prompt tokens ≈ base + perCharacter · characters of the input; completion tokens by answer. */
export interface UsageModel {
  readonly promptBase: number
  readonly promptPerCharacter: number
  readonly completionByOutput: Readonly<Record<string, number>>
  readonly completionDefault: number
}

export interface UsageObservation {
  readonly characterCount: number
  readonly output: string
  readonly usage: Usage
}

/** Least squares for the prompt, the median of each output for the completion. Without observations: four characters a token. */
export function fitUsage(observations: readonly UsageObservation[]): UsageModel {
  const n = observations.length
  if (n === 0)
    return { promptBase: 0, promptPerCharacter: 0.25, completionByOutput: {}, completionDefault: 1 }
  const xs = observations.map(item => item.characterCount)
  const ys = observations.map(item => item.usage.promptTokens)
  const meanX = xs.reduce((a, b) => a + b, 0) / n
  const meanY = ys.reduce((a, b) => a + b, 0) / n
  let covariance = 0
  let variance = 0
  for (let i = 0; i < n; i++) {
    covariance += ((xs[i] as number) - meanX) * ((ys[i] as number) - meanY)
    variance += ((xs[i] as number) - meanX) ** 2
  }
  const perCharacter = variance === 0 ? 0 : Math.max(0, covariance / variance)
  const byOutput = new Map<string, number[]>()
  for (const { output, usage } of observations) {
    const counts = byOutput.get(output)
    if (counts === undefined) byOutput.set(output, [usage.completionTokens])
    else counts.push(usage.completionTokens)
  }
  return {
    promptBase: Math.max(0, meanY - perCharacter * meanX),
    promptPerCharacter: perCharacter,
    completionByOutput: Object.fromEntries(
      [...byOutput].map(([output, counts]) => [output, median(counts)]),
    ),
    completionDefault: median(observations.map(item => item.usage.completionTokens)),
  }
}

/** Whole token counts, at least one each. */
export function estimateUsage(model: UsageModel, characterCount: number, output: string): Usage {
  const completion = Object.hasOwn(model.completionByOutput, output)
    ? model.completionByOutput[output]
    : model.completionDefault
  return {
    promptTokens: Math.max(
      1,
      Math.round(model.promptBase + model.promptPerCharacter * characterCount),
    ),
    completionTokens: Math.max(1, Math.round(completion ?? 1)),
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
}
