/** Layer 5: fitting and calibration. */
export {
  type ClassifierCandidate,
  type ClassifierData,
  type FitClassifierOptions,
  fitClassifier,
} from './fit-classifier.ts'
