import { describe, expect, it } from 'vitest'
import { SETTINGS } from '../config/index.ts'
import {
  EXECUTION_PROVIDERS,
  type ExecutionProvider,
  type ProviderHost,
  providerOrder,
  resolveExecutionProvider,
} from './execution-provider.ts'
import { openInProcessRuntime } from './onnxruntime.ts'

/** An installation with some providers; those that are broken are there and do not open. */
function hostWith(
  installed: readonly ExecutionProvider[],
  { broken = [] as readonly ExecutionProvider[], asked = [] as string[] } = {},
): ProviderHost {
  return {
    isInstalled: provider => installed.includes(provider),
    async supported() {
      asked.push('supported')
      return ['cpu', 'webgpu', 'cuda', 'tensorrt']
    },
    async probe(provider) {
      asked.push(provider)
      if (broken.includes(provider))
        throw new Error('no CUDA-capable device is detected\nat line 1')
      if (!installed.includes(provider)) throw new Error('Failed to load shared library')
    },
  }
}

describe('resolveExecutionProvider', () => {
  it('takes CUDA by itself where it is there and computes, else the CPU', async () => {
    expect(await resolveExecutionProvider('auto', hostWith(['cuda']))).toBe('cuda')
    expect(await resolveExecutionProvider('auto', hostWith(['cuda'], { broken: ['cuda'] }))).toBe(
      'cpu',
    )
    expect(await resolveExecutionProvider('auto', hostWith(['webgpu', 'dml']))).toBe('cpu')
  })

  it('loads nothing native where there is nothing to find', async () => {
    const asked: string[] = []
    await resolveExecutionProvider('auto', hostWith([], { asked }))
    await resolveExecutionProvider('cpu', hostWith(['cuda'], { asked }))
    expect(asked).toEqual([])
  })

  it.each([
    ['cuda', hostWith([]), 'Failed to load shared library', '--onnxruntime-node-install=cuda12'],
    ['cuda', hostWith(['cuda'], { broken: ['cuda'] }), 'no CUDA-capable device is detected', 'cpu'],
    // Without the check, ONNX Runtime would take the CPU and say nothing.
    ['coreml', hostWith(['coreml']), 'it was not built with it', 'cpu, webgpu, cuda, tensorrt'],
    ['gpu', hostWith([]), 'there is no such provider', 'auto or cpu'],
  ])('refuses %s that is asked for by name and not to be had', async (name, host, message, help) => {
    await expect(resolveExecutionProvider(name, host)).rejects.toMatchObject({
      code: 'runtime-missing',
      message: expect.stringContaining(message),
      help: expect.stringContaining(help),
    })
  })

  it('asks this installation, which has at least a CPU', async () => {
    const provider = await resolveExecutionProvider('auto')
    const runtime = await openInProcessRuntime({ threads: 1, provider })
    expect(runtime.provider).toBe(provider)
    await runtime.close()
  })

  it('falls back to the CPU kernel by kernel', () => {
    expect(providerOrder('cuda')).toEqual(['cuda', 'cpu'])
    expect(providerOrder('cpu')).toEqual(['cpu'])
  })

  it('is a setting with the same names', () => {
    expect(SETTINGS.executionProvider.choices).toEqual(EXECUTION_PROVIDERS)
  })
})
