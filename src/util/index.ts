/** Layer 0, portable: runs in Node and in browsers. */
export { argmax, countBy, mean, mergeBy, quantile, softmax } from './arrays.ts'
export { type Clock, fixedClock, systemClock } from './clock.ts'
export { parseDuration } from './duration.ts'
export { type IdPrefix, newId } from './ids.ts'
export { nearest } from './nearest.ts'
export { createRng, hash32, type Rng, randomHex, randomUnit } from './rng.ts'
export { settledWithin } from './settled-within.ts'
export { canonicalJson, clip, normaliseText } from './text.ts'
