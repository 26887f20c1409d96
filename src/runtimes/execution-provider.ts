/** Which of ONNX Runtime's execution providers computes here: what was asked for, what there is, what opens. Knows no model. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Add, emit, float32, input } from '../engine/index.ts'
import { UnderstudyError } from '../errors.ts'
import { firstLine, importOnnxRuntime } from './onnx-binding.ts'

/** `auto`: CUDA where its libraries are and it opens, else the CPU. The others are used where they are named, never by themselves. */
export const EXECUTION_PROVIDERS = [
  'auto',
  'cpu',
  'cuda',
  'tensorrt',
  'dml',
  'coreml',
  'webgpu',
] as const

export type ExecutionProvider = Exclude<(typeof EXECUTION_PROVIDERS)[number], 'auto'>

/** What `auto` tries, best first. */
const AUTOMATIC: readonly ExecutionProvider[] = ['cuda']

/** What is asked of the installation; tests put one that has a GPU. */
export interface ProviderHost {
  /** Whether the provider's code is there, without loading anything. */
  isInstalled(provider: ExecutionProvider): boolean
  /** Names that the binding was built with. @throws runtime-missing */
  supported(): Promise<readonly string[]>
  /** Computes one sum with it. @throws what ONNX Runtime says */
  probe(provider: ExecutionProvider): Promise<void>
}

/**
 * The provider to compute with. What it has no kernel for, the CPU computes.
 * @throws runtime-missing for one that is asked for by name and is not to be had: says what there is
 */
export async function resolveExecutionProvider(
  wanted: string,
  host: ProviderHost = thisHost,
): Promise<ExecutionProvider> {
  if (wanted === 'cpu') return 'cpu'
  if (wanted === 'auto') {
    for (const provider of AUTOMATIC) {
      // A GPU that is there but does not work must not stop what a CPU can do.
      if (host.isInstalled(provider) && (await failureOf(provider, host)) === null) return provider
    }
    return 'cpu'
  }
  const provider = EXECUTION_PROVIDERS.find(name => name === wanted)
  const failure =
    provider === undefined || provider === 'auto'
      ? 'there is no such provider'
      : await failureOf(provider, host)
  if (failure === null) return provider as ExecutionProvider
  throw new UnderstudyError(
    'runtime-missing',
    `ONNX Runtime cannot compute with ${JSON.stringify(wanted.slice(0, 40))} on ${process.platform}-${process.arch}: ${failure}`,
    { help: helpFor(wanted, await host.supported()) },
  )
}

/** What sessions are told, in order. */
export function providerOrder(provider: ExecutionProvider): readonly ExecutionProvider[] {
  return provider === 'cpu' ? ['cpu'] : [provider, 'cpu']
}

/** Null where it computes. */
async function failureOf(provider: ExecutionProvider, host: ProviderHost): Promise<string | null> {
  // Asked for one that it was not built with, the binding takes the CPU without an error.
  if (!(await host.supported()).includes(provider)) return 'it was not built with it'
  try {
    await host.probe(provider)
    return null
  } catch (cause) {
    return firstLine(cause)
  }
}

function helpFor(wanted: string, supported: readonly string[]): string {
  const other = `set execution-provider to auto or cpu (built in here: ${supported.join(', ')})`
  return wanted === 'cuda' || wanted === 'tensorrt'
    ? `Install the driver, CUDA 12 and cuDNN 9, and run npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12; or ${other}.`
    : `${other[0]?.toUpperCase()}${other.slice(1)}.`
}

const thisHost: ProviderHost = {
  isInstalled(provider) {
    const prefix = process.platform === 'win32' ? '' : 'lib'
    const suffix = process.platform === 'win32' ? '.dll' : '.so'
    const folder = bindingFolder()
    return (
      folder !== null &&
      existsSync(join(folder, `${prefix}onnxruntime_providers_${provider}${suffix}`))
    )
  },
  async supported() {
    const ort = await importOnnxRuntime()
    return ort.listSupportedBackends().map(({ name }) => name)
  },
  async probe(provider) {
    const { InferenceSession, Tensor } = await importOnnxRuntime()
    const x = input('x', 'float32', ['count'])
    const sum = Add(x, float32('one', Float32Array.of(1), [1]))
    const session = await InferenceSession.create(
      emit('probe', { inputs: [x], outputs: { sum } }),
      {
        executionProviders: providerOrder(provider) as string[],
        logSeverityLevel: 4,
      },
    )
    try {
      await session.run({ x: new Tensor('float32', Float32Array.of(1, 2), [2]) })
    } finally {
      await session.release()
    }
  },
}

/** Where the libraries of providers lie that do not come with the package. */
function bindingFolder(): string | null {
  try {
    const main = createRequire(import.meta.url).resolve('onnxruntime-node')
    return join(dirname(main), '../bin/napi-v6', process.platform, process.arch)
  } catch {
    return null
  }
}
