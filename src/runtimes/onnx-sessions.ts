/** ONNX Runtime's sessions in the thread that calls: loads graphs, runs chains of calls. Knows no threads and no model. */
import type * as Ort from 'onnxruntime-node'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { type ExecutionProvider, providerOrder } from './execution-provider.ts'
import { firstLine, importOnnxRuntime } from './onnx-binding.ts'
import type { Feed, RuntimeCall, Tensor } from './types.ts'

export interface SessionSettings {
  /** Threads that share one operator. */
  readonly threads: number
  /** For how long a thread that waits for the next operator keeps its core busy before it sleeps; 0: not at all. */
  readonly spinMicroseconds: number
  /** What computes where it has a kernel; the CPU does the rest, and everything where nothing is said. */
  readonly provider?: ExecutionProvider
}

/** What belongs to a graph beside its bytes, and what in it is to be left as it is. */
export interface GraphHints {
  /** Factors are turned before their product on purpose. */
  readonly isTraining?: boolean
  /** What is computed twice saves memory: it is not to be computed once and kept. */
  readonly isRecomputing?: boolean
  /** Constants that the graph refers to by these names; read while it is opened. */
  readonly tensors?: ReadonlyMap<string, Uint8Array>
}

export interface OnnxSessions {
  /** @throws model-corrupt */
  load(session: string, model: Uint8Array, hints?: GraphHints): Promise<void>
  unload(session: string): Promise<void>
  /** Blocks this thread while an operator computes. @throws runtime-failed */
  run(
    calls: readonly RuntimeCall[],
    outputs?: readonly string[],
  ): Promise<Readonly<Record<string, Tensor>>>
  /**
   * Runs one graph and writes its results into the given buffers, which may be views; the binding also makes a copy of its
   * own of every result, which is dropped.
   * @throws runtime-failed, also where a buffer has another size than the result
   */
  runInto(
    session: string,
    feeds: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, Tensor>>,
  ): Promise<void>
  close(): Promise<void>
}

/** @throws runtime-missing when onnxruntime-node cannot be loaded */
export async function createOnnxSessions(settings: SessionSettings): Promise<OnnxSessions> {
  const ort = await importOnnxRuntime()
  const sessions = new Map<string, Promise<Ort.InferenceSession>>()

  async function unload(name: string): Promise<void> {
    const session = sessions.get(name)
    sessions.delete(name)
    await (await session)?.release()
  }

  return {
    async load(name, model, hints = {}) {
      let session = sessions.get(name)
      if (session === undefined) {
        session = create(ort, name, model, sessionOptions(settings, hints))
        sessions.set(name, session)
        session.catch(() => sessions.delete(name))
      }
      await session
    },
    unload,
    async run(calls, outputs) {
      if (calls.length === 0) return {}
      const results: Ort.InferenceSession.OnnxValueMapType[] = []
      for (const [i, call] of calls.entries()) {
        const session = await sessions.get(call.session)
        if (session === undefined) throw failed(`no graph is loaded as ${call.session}`)
        const wanted = i === calls.length - 1 ? outputs : neededLater(calls, i)
        results.push(await runOne(ort, session, call, results, wanted))
      }
      return Object.fromEntries(
        Object.entries(results.at(-1) ?? {}).map(([name, value]) => [name, fromOrt(value)]),
      )
    },
    async runInto(name, feeds, outputs) {
      const session = await sessions.get(name)
      if (session === undefined) throw failed(`no graph is loaded as ${name}`)
      try {
        await session.run(toOrtAll(ort, feeds), toOrtAll(ort, outputs))
      } catch (cause) {
        throw failed(`${name} cannot run: ${firstLine(cause)}`, cause)
      }
    },
    async close() {
      await Promise.all([...sessions.keys()].map(unload))
    },
  }
}

function sessionOptions(
  { threads, spinMicroseconds, provider = 'cpu' }: SessionSettings,
  { isTraining, isRecomputing, tensors = new Map() }: GraphHints,
): Ort.InferenceSession.SessionOptions {
  const disabled = [
    ...(isTraining ? ['GemmTransposeFusion', 'MatmulTransposeFusion'] : []),
    ...(isRecomputing ? ['CommonSubexpressionElimination'] : []),
  ]
  return {
    executionProviders: [...providerOrder(provider)],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    ...(tensors.size > 0 && {
      externalData: [...tensors].map(([path, data]) => ({ path, data })),
    }),
    extra: {
      session: {
        intra_op: {
          allow_spinning: spinMicroseconds > 0 ? '1' : '0',
          ...(spinMicroseconds > 0 && { spin_duration_us: `${spinMicroseconds}` }),
        },
      },
      ...(disabled.length > 0 && {
        optimization: { disable_specified_optimizers: disabled.join(';') },
      }),
    },
  }
}

async function create(
  ort: typeof Ort,
  name: string,
  model: Uint8Array,
  options: Ort.InferenceSession.SessionOptions,
): Promise<Ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(model, options)
  } catch (cause) {
    throw new UnderstudyError(
      'model-corrupt',
      `ONNX Runtime refuses the graph ${name}: ${firstLine(cause)}`,
      { help: 'Remove the model and pull it again, or learn the specialist again.', cause },
    )
  }
}

async function runOne(
  ort: typeof Ort,
  session: Ort.InferenceSession,
  call: RuntimeCall,
  results: readonly Ort.InferenceSession.OnnxValueMapType[],
  outputs: readonly string[] | undefined,
): Promise<Ort.InferenceSession.OnnxValueMapType> {
  const feeds: Record<string, Ort.OnnxValue> = {}
  try {
    for (const [name, feed] of Object.entries(call.feeds)) feeds[name] = toOrt(ort, feed, results)
    return await (outputs === undefined ? session.run(feeds) : session.run(feeds, outputs))
  } catch (cause) {
    if (isUnderstudyError(cause)) throw cause
    throw failed(`${call.session} cannot run: ${firstLine(cause)}`, cause)
  }
}

/** What later calls take from call `index`, so that nothing else is copied out of the runtime. */
function neededLater(calls: readonly RuntimeCall[], index: number): string[] {
  const feeds = calls.slice(index + 1).flatMap(call => Object.values(call.feeds))
  const names = feeds.flatMap(feed =>
    'fromCall' in feed && feed.fromCall === index ? [feed.output] : [],
  )
  return [...new Set(names)]
}

function toOrtAll(
  ort: typeof Ort,
  tensors: Readonly<Record<string, Tensor>>,
): Record<string, Ort.Tensor> {
  const all: Record<string, Ort.Tensor> = {}
  for (const [name, { type, data, dims }] of Object.entries(tensors)) {
    all[name] = new ort.Tensor(type, data, dims)
  }
  return all
}

function toOrt(
  ort: typeof Ort,
  feed: Feed,
  results: readonly Ort.InferenceSession.OnnxValueMapType[],
): Ort.OnnxValue {
  if (!('fromCall' in feed)) return new ort.Tensor(feed.type, feed.data, feed.dims)
  const value = results[feed.fromCall]?.[feed.output]
  if (value === undefined) throw failed(`call ${feed.fromCall} gave no output ${feed.output}`)
  return value
}

function fromOrt(value: Ort.OnnxValue): Tensor {
  return {
    type: value.type as Tensor['type'],
    dims: value.dims,
    data: value.data as Tensor['data'],
  }
}

function failed(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('runtime-failed', `ONNX Runtime: ${what}`, {
    help: 'Load the graph first, and feed each input with the type and shape it declares.',
    cause,
  })
}
