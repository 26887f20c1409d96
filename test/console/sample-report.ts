/** A report of the shape that learning gives, made from generated traffic and simulated scores; for tests only. */
import { generateLabelledDay, type LabelledLine } from '../../src/demo/index.ts'
import { certify } from '../../src/evals/index.ts'
import {
  buildReport,
  buildTaskReport,
  type EvaluatedInput,
  type LearnReport,
  REPORT_RISKS,
  type TaskReport,
} from '../../src/learn/index.ts'
import { createRng } from '../../src/util/index.ts'
import { parseChatRequest, usageOf } from '../../src/wire/index.ts'

const JOBS_SHOWN = ['message intent', 'e-mail queue', 'complaint check']
const GRID = Array.from({ length: 20 }, (_, i) => 0.99 - i * 0.045)

/** Three tasks, two of them certified, and two left alone. Deterministic. */
export function sampleReport({ requestCount = 4000 } = {}): LearnReport {
  const lines = [...generateLabelledDay({ seed: 7, day: 1, requestCount })]
  return buildReport({
    generatedAt: '2026-03-10T08:00:00.000Z',
    settings: { targetRisk: 0.05, confidenceLevel: 0.9, promise: 'selective', seed: 7 },
    imported: {
      files: ['day1.jsonl'],
      importedCount: requestCount,
      knownCount: 0,
      brokenCount: 1,
      broken: [{ file: 'day1.jsonl', line: 17, reason: 'not JSON: ends inside a string' }],
    },
    requestCount,
    tasks: JOBS_SHOWN.map(job => sampleTask(job, lines)),
    leftAlone: [
      {
        name: 'Draft a friendly, correct reply of Nordlicht Bank',
        app: 'agent-assist',
        requestCount: 190,
        because: 'Its answers are free text: 189 different ones in 190 requests.',
      },
      {
        name: 'You are the assistant of Nordlicht Bank.',
        app: 'chat-widget',
        requestCount: 83,
        because: 'It has several turns; only single questions are learned so far.',
      },
    ],
    withoutEncoder: [],
    notices: ['Not redacted: personal data in the prompts went into training as it is.'],
  })
}

/** Evaluates a make-believe specialist whose score is informative but not perfect. */
function sampleTask(job: string, lines: readonly LabelledLine[]): TaskReport {
  const rng = createRng(`sample/${job}`)
  const mine = lines.filter(line => line.job === job)
  const labels = [...new Set(mine.flatMap(line => line.leadLabel ?? []))].sort()
  const evaluated = mine
    .filter((_, index) => index % 2 === 0)
    .map((line): EvaluatedInput => {
      const isEasy = rng.next() < (job === 'complaint check' ? 0.55 : 0.84)
      const score = isEasy ? 0.9 + 0.1 * rng.next() : 0.2 + 0.75 * rng.next()
      const isRight = rng.next() < (isEasy ? 0.99 : score * 0.9)
      const specialist = isRight ? (line.truth as string) : rng.pick(labels)
      return {
        input: parseChatRequest(line.line.request).userText ?? '',
        lead: line.leadLabel,
        specialist,
        score,
        loss: specialist === line.leadLabel ? 0 : 1,
        time: line.line.time,
      }
    })
  const scores = evaluated.map(one => one.score)
  const losses = evaluated.map(one => one.loss)
  const outcome = (targetRisk: number, promise: 'selective' | 'marginal') =>
    certify(
      { scores, losses, grid: GRID, targetRisk, delta: 0.1, promise },
      { requestsPerExample: 2.2 },
    )
  const goal = outcome(0.05, 'selective')
  return buildTaskReport({
    id: `task_${job}`,
    name: job,
    key: {
      app: mine[0]?.line.app ?? null,
      model: 'gpt-4.1-mini',
      reportedModels: ['gpt-4.1-mini-2025-04-14'],
      systemExcerpt: parseChatRequest(mine[0]?.line.request).systemText.slice(0, 120),
      coat: job === 'e-mail queue' ? 'JSON field queue' : 'label text',
      isDeclared: false,
    },
    requestCount: mine.length,
    distinctInputCount: Math.round(mine.length * 0.9),
    withoutAnswer: { truncated: 3, refused: 2 },
    notServable: {},
    specialist: {
      hash: 'ab12'.repeat(16),
      name: 'encoder + reflex + neighbours',
      tier: 'encoder',
      state: goal.claimed ? 'live' : 'candidate',
      byteCount: 1_310_720,
      trainingCount: mine.length - evaluated.length,
      candidates: [
        { name: 'encoder + reflex + neighbours', estimatedCoverage: 0.88 },
        { name: 'reflex', estimatedCoverage: 0.79 },
      ],
    },
    goal,
    certificateId: goal.claimed ? 'cert_01SAMPLE' : null,
    look: { number: 1, delta: 0.1 },
    selective: REPORT_RISKS.map(risk => outcome(risk, 'selective')),
    marginal: REPORT_RISKS.map(risk => outcome(risk, 'marginal')),
    leadAnswers: mine.map(line => line.leadLabel),
    evaluated,
    leadSelfDisagreement: { rate: 0.012, inputCount: 40 },
    requests: evaluated.map((one, index) => ({
      group: `g${index}`,
      score: one.score,
      loss: one.loss,
      weight: index % 7 === 0 ? 4 : 1,
    })),
    times: mine.map(line => line.line.time),
    leadLatenciesMs: mine.map(line => line.line.latency_ms),
    specialistLatenciesMs: Array.from({ length: 50 }, () => 2.4 + rng.next() * 2),
    usages: mine.map(line => usageOf(line.line.response)),
    price: { inUsd: 0.4, outUsd: 1.6 },
  })
}
