import { expect, it, vi } from 'vitest'
import { ONNXRUNTIME_VERSION } from './onnx-binding.ts'
import { createOnnxSessions } from './onnx-sessions.ts'

it('names the install command where ONNX Runtime cannot be loaded', async () => {
  vi.doMock('onnxruntime-node', () => {
    throw new Error('Cannot find module')
  })
  await expect(createOnnxSessions({ threads: 1, spinMicroseconds: 0 })).rejects.toMatchObject({
    code: 'runtime-missing',
    message: expect.stringContaining(`${process.platform}-${process.arch}`),
    help: expect.stringContaining(
      `npm install --ignore-scripts onnxruntime-node@${ONNXRUNTIME_VERSION}`,
    ),
  })
})
