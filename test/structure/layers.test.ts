import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ROOT, readLayers, readSources, type SourceFile } from './sources.ts'

const sources = readSources()
const byPath = new Map(sources.map(source => [source.path, source]))
const { levelOf, allowed } = readLayers()

/** Entry points beside the folders: the package's door, above everything. */
const TOP_FILES = new Set(['index.ts'])

/** `path: what` for every line of code that matches, to print when a rule is broken. */
function findings(files: readonly SourceFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, code }) =>
    code
      .split('\n')
      .flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
  )
}

function except(files: readonly SourceFile[], exceptions: Readonly<Record<string, string>>) {
  const names = Object.keys(exceptions)
  return files.filter(
    ({ path }) => !names.some(name => path === name || path.startsWith(`${name}/`)),
  )
}

/** Every exception must still be needed, so that the list only shrinks. */
function expectNeeded(exceptions: Readonly<Record<string, string>>, pattern: RegExp): void {
  const unneeded = Object.keys(exceptions).filter(
    name =>
      findings(
        sources.filter(({ path }) => path === name || path.startsWith(`${name}/`)),
        pattern,
      ).length === 0,
  )
  expect(unneeded).toEqual([])
}

describe('layers', () => {
  it('are read from ARCHITECTURE.md in full', () => {
    expect(levelOf.size).toBeGreaterThan(20)
    expect(allowed).toContain('cli → gateway')
    const unplaced = sources
      .map(({ folder }) => folder)
      .filter(folder => !levelOf.has(folder) && !TOP_FILES.has(folder))
    expect([...new Set(unplaced)]).toEqual([])
  })

  it('are imported only downwards, or sideways where the table says so', () => {
    const broken = sources.flatMap(({ path, folder, imports }) =>
      imports.flatMap(({ target }) => {
        if (target === null || TOP_FILES.has(folder)) return []
        const to = target.split('/')[0] as string
        const isFine =
          to === folder ||
          (levelOf.get(to) ?? Infinity) < (levelOf.get(folder) ?? -1) ||
          // errors.ts lies under everything, its own layer included.
          to === 'errors.ts' ||
          allowed.has(`${folder} → ${to}`)
        return isFine ? [] : [`${path} imports ${target}`]
      }),
    )
    expect(broken).toEqual([])
  })

  it('are entered by their doors', () => {
    const broken = sources.flatMap(({ path, folder, imports }) =>
      imports.flatMap(({ target }) => {
        if (target === null) return []
        const [to, ...rest] = target.split('/')
        const isFine = to === folder || rest.length === 0 || rest.join('/') === 'index.ts'
        return isFine ? [] : [`${path} imports ${target}`]
      }),
    )
    expect(broken).toEqual([])
  })

  it('name files that exist, with their extension', () => {
    const broken = sources.flatMap(({ path, imports }) =>
      imports.flatMap(({ target }) =>
        target === null || existsSync(join(ROOT, 'src', target)) ? [] : [`${path}: ${target}`],
      ),
    )
    expect(broken).toEqual([])
  })

  it('have no cycle among values', () => {
    const state = new Map<string, 'open' | 'done'>()
    const cycles: string[] = []
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'done') return
      if (state.get(path) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
        return
      }
      state.set(path, 'open')
      for (const { target, isTypeOnly } of byPath.get(path)?.imports ?? []) {
        if (target !== null && !isTypeOnly) visit(target, [...trail, path])
      }
      state.set(path, 'done')
    }
    for (const { path } of sources) visit(path, [])
    expect(cycles).toEqual([])
  })
})

describe('doors', () => {
  it('are there for all that the package lets be imported', () => {
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    const sourcesOf = Object.values<string>(exports)
      .map(path => /^\.\/dist\/(.*)\.js$/.exec(path)?.[1])
      .filter(path => path !== undefined)
    expect(sourcesOf).not.toEqual([])
    expect(sourcesOf.filter(path => !byPath.has(`${path}.ts`))).toEqual([])
  })

  it('stand in every folder and hold exports only', () => {
    for (const folder of new Set(sources.map(source => source.folder))) {
      if (folder.endsWith('.ts')) continue
      const door = byPath.get(`${folder}/index.ts`)
      expect(door, `${folder}/index.ts`).toBeDefined()
      const statements = (door?.code ?? '').replace(
        /export\s+(type\s+)?(\*|\{[^}]*\})(\s+as\s+\w+)?(\s*from\s*'[^']*')?;?/g,
        '',
      )
      expect(statements.trim(), `${folder}/index.ts`).toBe('')
    }
  })
})

describe('invariants', () => {
  const PORTABLE = [
    /^(util|stats|formats|wire|engine)\//,
    /^models\/(reflex|tokenizer)/,
    /^cascade\/decide\.ts$/,
  ]

  it('keep node: imports out of the portable set', () => {
    const portable = sources.filter(({ path }) => PORTABLE.some(pattern => pattern.test(path)))
    expect(portable.length).toBeGreaterThan(15)
    const broken = portable.flatMap(({ path, imports }) =>
      imports
        .filter(
          ({ specifier, target, isTypeOnly }) =>
            specifier.startsWith('node:') || (target?.startsWith('platform/') && !isTypeOnly),
        )
        .map(({ specifier }) => `${path} imports ${specifier}`),
    )
    expect(broken).toEqual([])
  })

  it('leave native runtimes and outgoing connections to runtimes', () => {
    const exceptions = {
      runtimes: 'the rule itself',
      'store/postgres.ts': 'the projection may live on a Postgres server',
      'gateway/listen.ts': 'the server: it accepts connections and opens none',
      'gateway/node-http.ts': 'types of the server’s requests and responses',
      'cli/client.ts': 'commands are clients of the public API',
      'models/sources.ts': 'downloads models, from where the operator allows',
    }
    const pattern =
      /['"](onnxruntime-node|undici|node-llama-cpp|pg|node:(http|https|http2|net|tls|dgram))['"]|(?<![.\w])fetch\((?!\w+\??:)/
    expect(findings(except(sources, exceptions), pattern)).toEqual([])
  })

  it('leave SQL to store', () => {
    const pattern =
      /\binsert into \w+|\bdelete from \w+|\bcreate (table|index|schema)\b|\bselect [\w*,.() ]+ from \w+|\bupdate \w+ set\b/i
    expect(findings(except(sources, { store: 'the rule itself' }), pattern)).toEqual([])
    expectNeeded({ store: 'the rule itself' }, pattern)
  })

  it('leave clock and entropy to util', () => {
    const exceptions = {
      util: 'the rule itself',
      'workspace/owner-lock.ts':
        'touches its lock file with the time of the machine, which other processes compare',
    }
    const pattern =
      /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(|\brandom(UUID|Bytes|Int|FillSync)\b|\bgetRandomValues\(|\bhrtime\b/
    expect(findings(except(sources, exceptions), pattern)).toEqual([])
    expectNeeded(exceptions, pattern)
  })

  it('leave other people’s field names to wire', () => {
    const exceptions = {
      wire: 'the rule itself',
      'runtimes/replay-index.ts': 'compares a request with recorded ones, whatever it streams',
      'runtimes/replay-lead.ts': 'plays a recording in the form that the caller asked for',
      demo: 'writes a traffic file in the log format, which is the point of a demo',
    }
    const pattern =
      /\b(finish_reason|tool_calls|tool_choice|response_format|max_completion_tokens|stream_options|top_logprobs)\b/
    expect(findings(except(sources, exceptions), pattern)).toEqual([])
  })
})

describe('files', () => {
  it('are called in kebab-case', () => {
    const odd = sources.filter(
      ({ path }) => !/^([a-z0-9-]+\/)*[a-z0-9-]+(\.[a-z0-9-]+)*\.ts$/.test(path),
    )
    expect(odd.map(({ path }) => path)).toEqual([])
  })

  it('start with a sentence that says what they are', () => {
    const silent = sources.filter(
      ({ path, text }) => !path.endsWith('index.ts') && !/^\/\*\*/.test(text),
    )
    expect(silent.map(({ path }) => path)).toEqual([])
  })

  it('have at most 400 lines, or say why they are long', () => {
    const long = except(sources, { 'demo/intents.ts': 'a table of phrases' }).filter(
      ({ text }) => text.split('\n').length > 401 && !/Long because/.test(text),
    )
    expect(long.map(({ path }) => path)).toEqual([])
  })
})
