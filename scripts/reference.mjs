/** Renders the reference pages from the tables that the code itself uses. Pure: text in, text out. */

/** What each error code means, for people; the test asks for every code of the table. */
export const ERROR_MEANINGS = {
  'request-invalid':
    'The request is not what this path takes: broken JSON, a wrong type, an unknown kind.',
  'request-too-large': 'The request body is larger than `max-body-mb` allows.',
  'usage-invalid': 'The command line does not say what to do, or says something impossible.',
  'config-invalid':
    'The configuration file or an environment variable is wrong; the message names line and key.',
  'key-invalid': 'This gateway has keys, and the request presents none of them.',
  'role-insufficient': 'The key is good, and its role does not open this path.',
  'model-forbidden': 'The key may not call this model or route.',
  'rate-limited':
    'The key has used its requests or tokens per minute; `Retry-After` and the `x-ratelimit-*` headers say when to try again.',
  'budget-exceeded': 'The key has used its budget; specialists still answer it, the lead does not.',
  'origin-forbidden':
    'A web page of another origin tried to use a gateway that is open without a key.',
  'not-found': 'There is nothing under this name or path.',
  'model-not-found':
    'The request names a model that is no route, and no upstream answers the rest.',
  'specialist-not-found':
    'The caller asked for a specialist only, and no specialist is live for the task.',
  overloaded:
    'More requests are under way and waiting than the settings allow, or no turn came in time; try again after Retry-After.',
  'no-lead': 'The request needs the lead, and no lead is configured.',
  'upstream-unavailable':
    'The lead (or a running gateway that a command talks to) cannot be reached.',
  'upstream-timeout': 'The lead did not answer in time.',
  'upstream-invalid': 'The lead answered with something that is no answer of this API.',
  'file-unreadable': 'A file cannot be opened, or is in no known format.',
  'file-corrupt': 'A file of the data folder is damaged.',
  'model-unavailable':
    'A model is not on this machine and cannot be fetched from any of its sources.',
  'model-corrupt': 'A model file is damaged or not what the catalog says.',
  'runtime-missing':
    'A native runtime is not installed; the message names the command that installs it.',
  'runtime-failed': 'A native runtime failed while loading or running a model.',
  'ledger-unwritable': 'The ledger cannot be written: disk full, or no permission.',
  'ledger-corrupt': 'A record of the ledger does not match its hash.',
  'store-unavailable': 'The database does not answer; recording goes on without it.',
  'data-folder-busy': 'Another process owns the data folder and serves no HTTP.',
  'training-diverged': 'The loss or a gradient stopped being a number.',
  'job-failed': 'A job ended unexpectedly.',
  cancelled: 'The work was stopped on request.',
  bug: 'Understudy failed in a way that nobody foresaw.',
}

/**
 * @param parts `commands`: loaded commands; `errors`: the error table; `settings`: the settings table;
 * `fileName`: a setting's name as the file writes it; `commandHelp`: a command's help page; `operators` and `gradients`:
 * the engine's tables
 * @returns page name → generated region
 */
export function renderReference({
  commands,
  errors,
  settings,
  fileName,
  commandHelp,
  operators,
  gradients,
}) {
  return {
    'commands.md': commands
      .map(
        command =>
          `## understudy ${command.name}\n\n\`\`\`text\n${commandHelp(command).trimEnd()}\n\`\`\`\n`,
      )
      .join('\n'),
    'errors.md': Object.entries(errors)
      .map(
        ([code, { status, type, exit }]) =>
          `## ${code}\n\n${ERROR_MEANINGS[code]}\n\nHTTP ${status}, type \`${type}\`, exit code ${exit}.\n`,
      )
      .join('\n'),
    'operators.md': [
      '| operator | set | inputs | attributes | gradient |',
      '| --- | --- | --- | --- | --- |',
      ...Object.entries(operators).map(operatorRow(gradients)),
      '',
    ].join('\n'),
    'settings.md': Object.entries(settings)
      .map(([name, setting]) => {
        const initial = setting.default === null ? 'not set' : `\`${setting.default}\``
        const secret = setting.isSecret ? ' Secret: never shown or logged.' : ''
        return `## ${fileName(name)}\n\n${setting.help}${secret}\n\nDefault: ${initial}. Environment: \`${setting.env}\`.\n`
      })
      .join('\n'),
  }
}

const operatorRow =
  gradients =>
  ([name, { domain = 'ONNX', inputs, attributes = {} }]) => {
    const [least, most] = inputs
    const count =
      most === Infinity ? `${least} or more` : least === most ? least : `${least}–${most}`
    return `| ${[
      name,
      domain,
      count,
      Object.keys(attributes).join(', '),
      gradients[name] === null ? 'none' : 'yes',
    ].join(' | ')} |`
  }

/** For editors: `# yaml-language-server: $schema=…` in the first line of understudy.yaml. */
export const SCHEMA_FILE = 'understudy.schema.json'

/** The file's text, formatted as the formatter does. */
export function renderJsonSchema(schema) {
  return `${JSON.stringify(schema, null, 2)}\n`
}

const INTRODUCTIONS = {
  'commands.md': '# Commands\n\nEvery command takes `--help`.',
  'errors.md':
    '# Errors\n\nOver HTTP the code stands in `error.code`, with `_` for `-`; on the command line the message comes first, then what to do.',
  'operators.md':
    '# Operators\n\nWhat the engine builds graphs of, named as in ONNX. Every row is tested for each of its modes in `test/engine`: results in ONNX Runtime against a slow reference in double precision, gradients against central differences of the reference, and both against PyTorch. Gradients are those of the first result. Beyond the rows that say none, these have no gradient and say so when asked: the angles of `RotaryEmbedding`, a `Slice` in steps, a `ScatterElements` that does anything but add.',
  'settings.md':
    '# Settings\n\nIn `understudy.yaml` of the data folder (or `--config FILE`), one `name: value` a line; the environment goes before the file, command-line options before both. The file may also hold `upstreams`, `routes`, `keys`, `cache`, `tasks` and `prices`: see [configuration](../configuration.md), and `understudy.schema.json` beside this page for editors.',
}

/** A page whose generated region holds `body`; text around the region is kept. */
export function withRegion(page, existing, body) {
  const name = page.replace(/\.md$/, '')
  const [start, end] = [`<!-- gen:${name} -->`, `<!-- /gen -->`]
  const region = `${start}\n\n${body}\n${end}`
  const from = existing?.indexOf(start) ?? -1
  const to = existing?.indexOf(end) ?? -1
  if (existing === null || from < 0 || to < from) return `${INTRODUCTIONS[page]}\n\n${region}\n`
  return existing.slice(0, from) + region + existing.slice(to + end.length)
}
