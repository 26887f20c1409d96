/** Layer 1, portable: the bytes of model files. */
export {
  ONNX_TYPES,
  type OnnxAttribute,
  type OnnxDim,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  type OnnxType,
  type OnnxValueInfo,
  writeOnnx,
} from './onnx.ts'
export {
  type LoraModule,
  loraScaling,
  type PeftAdapter,
  type PeftFiles,
  readPeftAdapter,
  writePeftAdapter,
} from './peft-adapter.ts'
export {
  float16Tensor,
  float32Tensor,
  float32Values,
  readSafetensors,
  readSafetensorsHead,
  SAFETENSORS_BYTES,
  type Safetensors,
  type SafetensorsSpan,
  type SafetensorsTensor,
  type SafetensorsType,
  safetensorsHeadBytes,
  safetensorsParts,
  writeSafetensors,
} from './safetensors.ts'
