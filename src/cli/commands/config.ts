/** `understudy config`: shows every setting, where it comes from, and its environment variable; `config check`: checks a file. */
import { resolve } from 'node:path'
import {
  type Config,
  fileName,
  isSecret,
  loadConfig,
  SETTINGS,
  type SettingName,
} from '../../config/index.ts'
import { textOption } from '../args.ts'
import type { Command } from '../command.ts'
import { configOption, dataFolder, dataOption, jsonOption } from '../options.ts'
import { renderTable } from '../table.ts'

const checkCommand: Command = {
  name: 'config check',
  summary: 'Check a configuration file; says line, column and key of what is wrong.',
  positionals: {
    placeholder: '[FILE]',
    help: 'The file (default: understudy.yaml in the data folder).',
    min: 0,
    max: 1,
  },
  options: [dataOption, jsonOption],
  examples: ['understudy config check'],
  async run(input, terminal) {
    const [file] = input.positionals
    const config = await loadConfig({
      dataDir: dataFolder(input, terminal),
      env: terminal.env,
      file: file === undefined ? undefined : resolve(file),
    })
    terminal.out(
      input.options.json === true
        ? `${JSON.stringify({ ok: true, ...shown(config) }, null, 2)}\n`
        : `${config.file ?? 'no file: every setting has its default'}\nok: ${summary(config)}\n`,
    )
    return 0
  },
}

const showCommand: Command = {
  name: 'config',
  summary: 'Check the configuration and show every setting with its value.',
  options: [dataOption, configOption, jsonOption],
  examples: ['understudy config', 'understudy config --json'],
  async run(input, terminal) {
    const config = await loadConfig({
      dataDir: dataFolder(input, terminal),
      env: terminal.env,
      file: textOption(input, 'config'),
    })
    terminal.out(
      input.options.json === true ? `${JSON.stringify(shown(config), null, 2)}\n` : page(config),
    )
    return 0
  },
}

/** In the order of `understudy --help`. */
export const configCommands: readonly Command[] = [showCommand, checkCommand]

/** Secrets are shown as set or not, never as they are. */
function shownValue(config: Config, name: SettingName): string | number | boolean | null {
  const value = config.settings[name]
  return isSecret(name) && value !== null ? '(set)' : value
}

function shown(config: Config) {
  const names = Object.keys(SETTINGS) as SettingName[]
  return {
    file: config.file,
    settings: Object.fromEntries(names.map(name => [fileName(name), shownValue(config, name)])),
    upstreams: config.upstreams.map(({ apiKey, ...rest }) => ({
      ...rest,
      apiKey: apiKey === null ? null : '(set)',
    })),
    routes: config.routes,
    keys: config.keys.map(({ key: _, ...rest }) => rest),
    cache: config.cache,
    tasks: config.tasks,
    prices: config.prices,
  }
}

function summary({ upstreams, routes, keys, tasks, prices }: Config): string {
  const counts = {
    upstreams: upstreams.length,
    routes: routes.length,
    keys: keys.length,
    'declared tasks': tasks.length,
    prices: Object.keys(prices).length,
  }
  return Object.entries(counts)
    .map(([what, count]) => `${what} ${count}`)
    .join(', ')
}

function page(config: Config): string {
  const rows = (Object.keys(SETTINGS) as SettingName[]).map(name => [
    fileName(name),
    String(shownValue(config, name) ?? ''),
    SETTINGS[name].env,
    SETTINGS[name].help,
  ])
  const tasks = names(config.tasks)
  return [
    renderTable(
      [
        { title: 'setting' },
        { title: 'value' },
        { title: 'environment' },
        { title: 'what it does' },
      ],
      rows,
    ),
    `\nfile: ${config.file ?? 'none'}\ndeclared tasks: ${tasks}\n`,
    `upstreams: ${names(config.upstreams)}\nroutes: ${names(config.routes)}\nkeys: ${names(config.keys)}\n`,
    `prices: ${Object.keys(config.prices).length} models\n`,
  ].join('')
}

function names(rows: readonly { readonly name: string }[]): string {
  return rows.map(({ name }) => name).join(', ') || 'none'
}
