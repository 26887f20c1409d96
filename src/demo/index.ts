/** Layer 7: the generated support desk, so that the demo and the tests need nobody's real traffic. */
export {
  type DayOptions,
  generateDay,
  generateLabelledDay,
  type LabelledLine,
  type LeadSlip,
  type LogLine,
} from './generate.ts'
export { type Expectation, readLabel } from './job.ts'
export { JOBS } from './jobs.ts'
