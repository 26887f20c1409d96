/** Reads the classification sets of a data folder into texts and labels. Knows no model. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'

const csv = (path, options = {}) =>
  parse(readFileSync(path, 'utf8'), { columns: true, skip_empty_lines: true, ...options })

const filesOf = (folder, end) =>
  readdirSync(folder)
    .filter(name => name.endsWith(end))
    .sort()
    .map(name => join(folder, name))

function snips(root) {
  const rows = []
  for (const intent of readdirSync(join(root, 'snips_nlu')).sort()) {
    if (!/^[A-Z][A-Za-z]+$/.test(intent) || intent === 'LICENSE') continue
    const bytes = readFileSync(join(root, 'snips_nlu', intent, `train_${intent}_full.json`))
    // One of the files is latin-1, the others UTF-8.
    let text = bytes.toString('utf8')
    if (text.includes('\ufffd')) text = bytes.toString('latin1')
    for (const { data } of JSON.parse(text)[intent]) {
      rows.push({ text: data.map(piece => piece.text).join(''), label: intent })
    }
  }
  return rows
}

const LOADERS = {
  banking77: root =>
    csv(join(root, 'banking77/train.csv')).map(row => ({ text: row.text, label: row.category })),
  hwu64: root =>
    filesOf(join(root, 'hwu64/trainset'), '.csv').flatMap(path =>
      csv(path, { delimiter: ';', relax_quotes: true }).map(row => ({
        text: row.answer_from_anno,
        label: `${row.scenario}_${row.intent}`,
      })),
    ),
  bitext: root =>
    filesOf(join(root, 'bitext_support_2022/train'), '.csv').flatMap(path =>
      csv(path).map(row => ({ text: row.utterance, label: row.intent })),
    ),
  snips,
  rt_polarity: root =>
    ['neg', 'pos'].flatMap(label =>
      readFileSync(join(root, `rt_polarity/rt-polarity.${label}`), 'latin1')
        .split('\n')
        .filter(line => line.trim() !== '')
        .map(text => ({ text, label })),
    ),
}

/** Names of the sets. */
export const DATA_SETS = Object.keys(LOADERS)

/** Texts and class numbers of one set. */
export function loadSet(name, root) {
  const rows = LOADERS[name](root)
  const classes = [...new Set(rows.map(row => row.label))].sort()
  const numberOf = new Map(classes.map((label, i) => [label, i]))
  return {
    texts: rows.map(row => row.text),
    labels: Int32Array.from(rows, row => numberOf.get(row.label)),
    classes,
  }
}
