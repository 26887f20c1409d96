export type * from './output-kind.ts'
