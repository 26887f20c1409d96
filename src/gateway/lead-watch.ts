/** Notices when the lead answers under another name than the one a certificate was measured against. Changes nothing itself. */
import type { Cascade } from '../cascade/index.ts'

export interface LeadWatch {
  /** An answer of the lead to a request of a task. */
  note(task: string | null, reportedModel: string | null): void
  /** The new name, null while the lead is the one that was certified against. */
  changedTo(task: string): string | null
}

/** Says each change once. */
export function createLeadWatch(
  { live }: Pick<Cascade, 'live'>,
  log: (text: string) => void,
): LeadWatch {
  const changed = new Map<string, string>()
  return {
    note(id, reportedModel) {
      const task = live().find(each => each.id === id)
      if (task === undefined || reportedModel === null || task.certifiedLeads.length === 0) return
      if (task.certifiedLeads.includes(reportedModel)) changed.delete(task.id)
      else if (changed.get(task.id) !== reportedModel) {
        changed.set(task.id, reportedModel)
        log(
          `Task ${task.name}: the lead now answers as ${reportedModel.slice(0, 100)}; the certificate was measured against ${task.certifiedLeads.join(', ')}. Learn again from its new answers.`,
        )
      }
    },
    changedTo: task => changed.get(task) ?? null,
  }
}
