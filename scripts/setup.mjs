/**
 * Makes a fresh clone ready: dependencies, build and (with --models) the encoder. Plain Node without dependencies,
 * since it runs before there are any; does nothing, quickly, when nothing changed.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const ENCODER = 'all-minilm-l6-v2'
const MINIMUM_NODE = [20, 19]
/** No dependency needs an install script; this one would download GPU libraries. */
const ENV = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' }

function main() {
  process.chdir(ROOT)
  checkNode()
  step('dependencies', dependenciesReason, installDependencies)
  step('build', buildReason, build)
  if (process.argv.includes('--models')) pullEncoder()
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1])) return
  fail(
    `This is Node ${process.versions.node}, and Understudy needs Node ${MINIMUM_NODE.join('.')} or newer.`,
    'install a current Node (https://nodejs.org), then run the same command again.',
  )
}

/** Runs `action` where `reason()` gives a reason, with one line at the start and one at the end. */
function step(name, reason, action) {
  const why = reason()
  if (why === null) return
  say(`${name}: ${why} …`)
  const startMs = performance.now()
  action()
  say(`${name}: done in ${((performance.now() - startMs) / 1000).toFixed(1)} s`)
}

/** Why dependencies must be installed, null when npm's own record of node_modules agrees with the lock file. */
function dependenciesReason() {
  const recordPath = join('node_modules', '.package-lock.json')
  if (!existsSync(recordPath)) return 'installing from package-lock.json'
  const wanted = readJson('package-lock.json').packages
  const present = readJson(recordPath).packages
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.link) continue
    const found = present[path]
    if (found === undefined ? !entry.optional : found.version !== entry.version) {
      return `${path.replace('node_modules/', '')} ${entry.version} is missing or another version; installing`
    }
  }
  return null
}

function installDependencies() {
  const npm = process.env.npm_execpath
  const args = ['ci', '--no-audit', '--no-fund', '--ignore-scripts']
  const done = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...args], { stdio: 'inherit', env: ENV })
    : spawnSync('npm', args, { stdio: 'inherit', env: ENV, shell: process.platform === 'win32' })
  if (done.status !== 0) {
    fail(
      'npm could not install the dependencies (see above).',
      'check the network and the npm registry settings, then run the same command again.',
    )
  }
}

/** Why dist must be built, null when it was built from exactly these sources. */
function buildReason() {
  const stampPath = join('dist', '.stamp')
  if (!existsSync(stampPath)) return 'compiling TypeScript'
  return readFileSync(stampPath, 'utf8') === sourceHash()
    ? null
    : 'sources changed, compiling TypeScript'
}

function sourceHash() {
  const hash = createHash('sha256')
  for (const path of [
    'tsconfig.json',
    'tsconfig.build.json',
    'package-lock.json',
    ...files('src'),
  ]) {
    hash.update(`${path}\n`).update(readFileSync(path))
  }
  return hash.digest('hex')
}

function build() {
  const hash = sourceHash()
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  const done = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { stdio: 'inherit' })
  if (done.status !== 0)
    fail('The build failed (see above).', 'fix the errors above, then try again.')
  removeOrphans()
  mkdirSync('dist', { recursive: true })
  writeFileSync(join('dist', '.stamp'), hash)
}

/** Deletes compiled files whose source is gone, so that a renamed module cannot linger. */
function removeOrphans() {
  for (const path of files('dist')) {
    const source = join('src', relative('dist', path)).replace(/(\.d\.ts|\.js\.map|\.js)$/, '.ts')
    if (source.endsWith('.ts') && !existsSync(source)) rmSync(path)
  }
}

/** Everything works without the encoder (the reflex needs no download), so a failure here is a notice. */
function pullEncoder() {
  const command = ['bin/understudy.js', 'models', 'pull', ENCODER]
  if (spawnSync(process.execPath, command, { stdio: 'inherit', env: ENV }).status !== 0) {
    say(`models: ${ENCODER} cannot be had here; going on with the reflex alone.`)
    say(`- help: run \`node ${command.join(' ')}\` again once a network or a mirror is reachable.`)
  }
}

/** Paths of all files below a folder, sorted. */
function files(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function say(line) {
  process.stderr.write(`${line}\n`)
}

function fail(message, help) {
  say(message)
  say(`- help: ${help}`)
  process.exit(1)
}

main()
