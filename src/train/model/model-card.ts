/** A model card in Markdown, rendered from the run's record and nothing else, so that it cannot drift. Knows no files. */
import type { Certificate, CertificationOutcome } from '../../evals/index.ts'

export type CardTask = 'single-label' | 'multi-label' | 'span-tagging' | 'pair-classification'

export interface CardMetric {
  /** E.g. `accuracy`. */
  readonly name: string
  readonly value: number
  /** What it was measured on, e.g. `certification rows`. */
  readonly measuredOn: string
  /** Bounds of a 95 % interval, where there is one. */
  readonly low?: number | undefined
  readonly high?: number | undefined
}

/** Everything that a card says: plain JSON, noted during the run. */
export interface ModelCardRecord {
  readonly name: string
  readonly baseModel: string
  readonly task: CardTask
  /** Outputs in the order of the logits. */
  readonly labels: readonly string[]
  /** ISO 8601, of the oldest and newest row that was read; null where times are unknown. */
  readonly dataWindow: { readonly from: string; readonly to: string } | null
  /** By use, e.g. `training`, `selection`, `certification`. */
  readonly rowCounts: Readonly<Record<string, number>>
  /** As it can be repeated. */
  readonly recipe: Readonly<Record<string, unknown>>
  readonly metrics: readonly CardMetric[]
  /** Null where nobody looked; `noCertificate` then says why. */
  readonly certificate: Certificate | null
  /** One sentence for people. */
  readonly noCertificate: string | null
  /** What a reader might take for granted and nobody tried, one sentence each. */
  readonly notTested: readonly string[]
  /** SPDX identifier; null where none was chosen. */
  readonly licence: string | null
  /** By package, e.g. `understudy-llm`, `onnxruntime-node`. */
  readonly versions: Readonly<Record<string, string>>
}

/** Hugging Face's words for tasks. */
const PIPELINES: Readonly<Record<CardTask, string>> = {
  'single-label': 'text-classification',
  'multi-label': 'text-classification',
  'span-tagging': 'token-classification',
  'pair-classification': 'text-classification',
}

const DESCRIPTIONS: Readonly<Record<CardTask, string>> = {
  'single-label': 'gives a text one of the labels below',
  'multi-label': 'gives a text any number of the labels below',
  'span-tagging': 'marks spans of a text with the labels below',
  'pair-classification': 'gives a pair of texts one of the labels below',
}

/** The text of `README.md`, front matter of Hugging Face included. */
export function renderModelCard(record: ModelCardRecord): string {
  const { name, baseModel, task, labels, notTested, versions } = record
  const sections = [
    frontMatter(record),
    `# ${prose(name)}`,
    `Made by Understudy from ${prose(baseModel)}: it ${DESCRIPTIONS[task]}.`,
    heading('Labels', labels.length),
    table(
      ['id', 'label'],
      labels.map((label, id) => [`${id}`, label]),
    ),
    heading('Data', null),
    dataText(record),
    heading('Recipe', null),
    table(
      ['setting', 'value'],
      Object.entries(record.recipe).map(([key, value]) => [key, json(value)]),
    ),
    ...adapterText(record),
    heading('Metrics', null),
    'Estimates, not promises.',
    metricsTable(record.metrics),
    heading('Certificate', null),
    ...certificateText(record),
    heading('Not tested', null),
    notTested.length === 0
      ? 'The run’s record names nothing.'
      : notTested.map(one => `- ${prose(one)}`).join('\n'),
    heading('Versions', null),
    table(['package', 'version'], Object.entries(versions)),
    `Licence: ${record.licence === null ? 'none chosen' : prose(record.licence)}.`,
  ]
  return `${sections.filter(section => section !== '').join('\n\n')}\n`
}

function heading(title: string, count: number | null): string {
  return `## ${title}${count === null ? '' : ` (${count})`}`
}

function frontMatter({ licence, baseModel, task }: ModelCardRecord): string {
  const lines = [
    ...(licence === null ? [] : [`license: ${yaml(licence)}`]),
    `base_model: ${yaml(baseModel)}`,
    `pipeline_tag: ${PIPELINES[task]}`,
    'tags:',
    '- understudy',
    `- ${task}`,
  ]
  return ['---', ...lines, '---'].join('\n')
}

function dataText({ dataWindow, rowCounts }: ModelCardRecord): string {
  const window =
    dataWindow === null
      ? 'The times of its rows are unknown.'
      : `Its rows are from ${prose(dataWindow.from)} to ${prose(dataWindow.to)}.`
  const rows = table(
    ['use', 'rows'],
    Object.entries(rowCounts).map(([use, count]) => [use, `${count}`]),
  )
  return [window, rows].filter(part => part !== '').join('\n\n')
}

/** Merged weights say nothing of token types; the base that an adapter is put on does. */
function adapterText({ task, recipe }: ModelCardRecord): string[] {
  if (task !== 'pair-classification' || recipe.method !== 'lora') return []
  return [
    heading('Adapter', null),
    'With `adapter/` on the base model, pass `token_type_ids` of zeros for both texts: it learned so, and a tokenizer that marks the second text with ones changes the answers. The merged `model.safetensors` answers the same either way.',
  ]
}

function metricsTable(metrics: readonly CardMetric[]): string {
  if (metrics.length === 0) return 'None were measured.'
  return table(
    ['metric', 'value', '95 % interval', 'measured on'],
    metrics.map(({ name, value, low, high, measuredOn }) => [
      name,
      `${value}`,
      low === undefined || high === undefined ? '' : `${low} to ${high}`,
      measuredOn,
    ]),
  )
}

function certificateText({ certificate, noCertificate }: ModelCardRecord): string[] {
  if (certificate === null) {
    return [`No certificate, because ${prose(noCertificate ?? 'the run’s record gives no reason')}`]
  }
  const { outcome } = certificate
  const subject: [string, string][] = [
    ['certificate', certificate.id],
    ['issued', certificate.time],
    ['task', certificate.task],
    ['specialist', certificate.specialist],
    ['lead as requested', certificate.leadRequested.join(', ')],
    ['lead as reported', certificate.leadReported.join(', ')],
    ['compared with', certificate.reference],
    ['unit', certificate.unit],
    ['set', certificate.set.id],
    ['look', `${certificate.set.look}`],
    ['oldest row', certificate.set.oldestTime ?? 'unknown'],
    ['newest row', certificate.set.newestTime ?? 'unknown'],
    ['δ of the set', `${certificate.set.delta}`],
    ['δ spent', `${certificate.deltaSpent}`],
    ['runtime', certificate.runtime],
    ['kernel family', certificate.kernelFamily],
    ['void after a change of', certificate.voidedBy.join(', ')],
  ]
  const rows = [...outcomeRows(outcome), ...subject]
  return [outcomeText(outcome, certificate.reference), table(['', ''], rows)]
}

function outcomeText(outcome: CertificationOutcome, reference: string): string {
  if (!outcome.claimed) {
    return `No claim at a target risk of ${percent(outcome.targetRisk)}, because ${prose(outcome.because)}`
  }
  const share =
    outcome.promise === 'selective'
      ? `at most ${percent(outcome.targetRisk)} of the answers it serves differ`
      : `it serves an answer that differs to at most ${percent(outcome.targetRisk)} of all requests`
  return `With a confidence of ${percent(1 - outcome.delta)}, ${share} from the reference (${prose(reference)}), when it serves what scores at least ${outcome.threshold} and requests keep coming as in the window. It then serves ${percent(outcome.coverage)} of distinct inputs.`
}

function outcomeRows(outcome: CertificationOutcome): [string, string][] {
  const both: [string, string][] = [
    ['promise', outcome.promise],
    ['target risk α', `${outcome.targetRisk}`],
    ['δ', `${outcome.delta}`],
    ['distinct inputs n', `${outcome.n}`],
  ]
  if (!outcome.claimed) return [...both, ['reason', outcome.code]]
  return [
    ...both,
    ['threshold', `${outcome.threshold}`],
    ['served', `${outcome.servedCount}`],
    ['losses k', `${outcome.lossSum}`],
    ['coverage', `${outcome.coverage}`],
    ['upper bound of the risk', `${outcome.riskUpperBound}`],
    ['method', outcome.method],
  ]
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(4))} %`
}

/** A table of GitHub's Markdown; nothing without rows. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const line = (cells: readonly string[]) => `| ${cells.map(prose).join(' | ')} |`
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}

function json(value: unknown): string {
  if (typeof value === 'string') return value
  const isList = Array.isArray(value) && value.every(one => typeof one === 'string')
  return isList ? value.join(', ') : (JSON.stringify(value) ?? 'unset')
}

/** Line breaks, other control characters and those that turn the direction of writing (Unicode Standard Annex 9). */
const INVISIBLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Cs}/gu

function escapeInvisible(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/**
 * Foreign text inside a line of Markdown: it cannot end the line or the cell, nor start markup, HTML, a
 * list or a link. What would be
 * invisible is spelled out.
 */
function prose(text: string): string {
  const isBare = text === '' || text.trim() !== text
  const quoted = isBare && text !== '' ? `"${text}"` : text
  return quoted
    .replace(/[\\`*_{}[\]<>|~&#$!@^=]|:(?=\/\/)/g, '\\$&')
    .replace(/^[-+]/, '\\$&')
    .replace(/^(\d+)([.)])(?=\s|$)/, '$1\\$2')
    .replace(/www\./gi, match => `${match.slice(0, -1)}\\.`)
    .replace(INVISIBLE, character => `\\${escapeInvisible(character)}`)
}

/** A double-quoted scalar of YAML 1.2, of which JSON's strings are a part. */
function yaml(text: string): string {
  return JSON.stringify(text).replace(INVISIBLE, escapeInvisible)
}
