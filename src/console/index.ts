/** Layer 8: the report as a page. */
export { bytes, dollars, milliseconds, percent, plain, plural, taskTitle, whole } from './format.ts'
export { renderReportHtml } from './report-html.ts'
