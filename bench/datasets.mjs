/** The public sets as rows of (text, label). Reads files only; the folder is given. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'

const csv = (file, options = {}) =>
  parse(readFileSync(file), { columns: true, bom: true, relax_column_count: true, ...options })

function banking77(folder) {
  return csv(join(folder, 'train.csv')).map(row => ({ text: row.text, label: row.category }))
}

function hwu64(folder) {
  const dir = join(folder, 'trainset')
  return readdirSync(dir)
    .filter(name => name.endsWith('.csv'))
    .sort()
    .flatMap(name =>
      csv(join(dir, name), { delimiter: ';', relax_quotes: true }).map(row => ({
        text: row.answer_from_anno,
        label: name.replace(/\.csv$/, ''),
      })),
    )
}

function snips(folder) {
  const intents = readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isDirectory())
  return intents.flatMap(({ name }) => {
    const file = join(folder, name, `train_${name}_full.json`)
    // One of the files is latin-1.
    const text = readFileSync(file, name === 'PlayMusic' ? 'latin1' : 'utf8')
    return JSON.parse(text)[name].map(({ data }) => ({
      text: data.map(piece => piece.text).join(''),
      label: name,
    }))
  })
}

function bitext(folder) {
  const dir = join(folder, 'train')
  const [file] = readdirSync(dir).filter(name => name.endsWith('.csv'))
  return csv(join(dir, file)).map(row => ({ text: row.utterance, label: row.intent }))
}

function polarity(folder) {
  return ['neg', 'pos'].flatMap(label =>
    readFileSync(join(folder, `rt-polarity.${label}`), 'latin1')
      .split('\n')
      .filter(line => line.trim() !== '')
      .map(text => ({ text, label })),
  )
}

export const DATASETS = {
  banking77: { folder: 'banking77', read: banking77 },
  hwu64: { folder: 'hwu64', read: hwu64 },
  snips: { folder: 'snips_nlu', read: snips },
  bitext: { folder: 'bitext_support_2022', read: bitext },
  rt_polarity: { folder: 'rt_polarity', read: polarity },
}

/** Rows of a set with a text and a label. */
export function readDataset(name, dataFolder) {
  const { folder, read } = DATASETS[name]
  return read(join(dataFolder, folder)).filter(row => row.text?.trim() && row.label)
}

/** Texts and class numbers of a set. */
export function readNumbered(name, dataFolder) {
  const rows = readDataset(name, dataFolder)
  const classes = [...new Set(rows.map(row => row.label))].sort()
  const numberOf = new Map(classes.map((label, i) => [label, i]))
  return {
    texts: rows.map(row => row.text),
    labels: Int32Array.from(rows, row => numberOf.get(row.label)),
    classes,
  }
}
