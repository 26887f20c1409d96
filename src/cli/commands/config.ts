/** `understudy config`: shows every setting, where it comes from, and its environment variable. */
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

export const configCommand: Command = {
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
    keys: config.keys.map(({ app }) => ({ app })),
    tasks: config.tasks,
    prices: config.prices,
  }
}

function page(config: Config): string {
  const rows = (Object.keys(SETTINGS) as SettingName[]).map(name => [
    fileName(name),
    String(shownValue(config, name) ?? ''),
    SETTINGS[name].env,
    SETTINGS[name].help,
  ])
  const tasks = config.tasks.map(({ name }) => name).join(', ') || 'none'
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
    `prices: ${Object.keys(config.prices).length} models\n`,
  ].join('')
}
