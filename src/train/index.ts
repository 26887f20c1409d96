/** Layer 5: fitting and calibration. */
export type { ClassifierData } from './cross-fit.ts'
export {
  type ClassifierCandidate,
  type FitClassifierOptions,
  fitClassifier,
} from './fit-classifier.ts'
