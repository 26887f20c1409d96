/** Writes customer messages about a banking concern, and e-mails made of them. Knows no request bodies. */
import type { Rng } from '../util/index.ts'
import { expand, pickWeighted, zipfWeights } from './grammar.ts'
import { INTENTS, type Intent, type Queue, SHARED_PHRASES } from './intents.ts'
import type { Message } from './job.ts'
import { dress, LISTS } from './phrases.ts'
import { mistype } from './typos.ts'

const WEIGHTS = zipfWeights(INTENTS.length, 0.75)
const FOREIGN_RATE = 0.03
const SHARED_RATE = 0.032
const SECOND_CONCERN_RATE = 0.035

/** An intent as often as customers have it. */
export function drawIntent(rng: Rng): Intent {
  return INTENTS[pickWeighted(WEIGHTS, rng)] as Intent
}

/** One chat message about one concern, sometimes two, sometimes one that could mean either of two. */
export function composeIntentMessage(rng: Rng): Message {
  if (rng.next() < SHARED_RATE) {
    const shared = rng.pick(SHARED_PHRASES)
    const truth = rng.next() < 0.62 ? shared.labels[0] : shared.labels[1]
    const core = expand(rng.pick(shared.templates), LISTS, rng)
    return {
      text: mistype(dress(core, rng), rng),
      truth,
      rivals: shared.labels.filter(label => label !== truth),
    }
  }
  const intent = drawIntent(rng)
  if (rng.next() < FOREIGN_RATE) {
    const core = expand(rng.pick(intent.foreign), LISTS, rng)
    return { text: mistype(core, rng), truth: intent.label, rivals: [] }
  }
  const core = expand(rng.pick(intent.templates), LISTS, rng)
  if (rng.next() < SECOND_CONCERN_RATE) return withSecondConcern(intent, core, rng)
  return { text: mistype(dress(core, rng), rng), truth: intent.label, rivals: [] }
}

const LINKS = ['Also,', 'And', 'PS:', 'One more thing:', 'By the way,', 'Apart from that']

/** The first concern is the one meant; nine times in ten it also comes first. */
function withSecondConcern(intent: Intent, core: string, rng: Rng): Message {
  const second = drawIntent(rng)
  const other = expand(rng.pick(second.templates), LISTS, rng)
  const [first, last] = rng.next() < 0.9 ? [core, other] : [other, core]
  const text = dress(`${first}. ${rng.pick(LINKS)} ${last}`, rng, { asideRate: 0.05 })
  return {
    text: mistype(text, rng),
    truth: intent.label,
    rivals: second === intent ? [] : [second.label],
  }
}

const SUBJECTS: Readonly<Record<Queue, readonly string[]>> = {
  cards: ['Card', 'Problem with my card', 'Card ending {digits4}', 'card question', 'New card'],
  payments: [
    'Payment',
    'Transfer of {amount}',
    'Where is my money',
    'Payment query',
    'Re: transfer',
  ],
  accounts: ['My account', 'Account {digits6}', 'Question about my account', 'Account query'],
  digital: ['App', 'Login', 'Online banking problem', 'cannot get in'],
  lending: ['Loan', 'Borrowing', 'Question on rates', 'Mortgage', 'Credit'],
  fraud: ['URGENT', 'Suspicious', 'Payment I did not make', 'Security'],
  business: [
    'Company account',
    'Business banking',
    '{surname} & Sons Ltd',
    'Payroll',
    'Merchant services',
  ],
  other: [
    'Feedback',
    'Hello',
    'Sponsorship',
    'Your branch in {city}',
    'Vacancy',
    'Invoice {digits4}',
  ],
}
const VAGUE_SUBJECTS = [
  '(no subject)',
  'Help',
  'Question',
  'Re: your message',
  'Urgent',
  'Request',
  'Ticket {digits6}',
  'Enquiry',
]

const BUSINESS: readonly string[] = [
  'our company {needs|wants} {a second user|signing rights for {name} {surname}|an accountant login}',
  'the payroll file for {month} {was rejected|has not been processed}, {#5-80} employees are waiting',
  'we would like {a card terminal|a payment link|merchant services} for our {shop|restaurant|bakery} in {city}',
  '{surname} Ltd {is looking for|requires} {a business overdraft|invoice finance|a company loan} of {bigamount}',
  'please {change the directors|update the registered office} of {surname} & Co. on the account',
  'how do we {upload|submit} {SEPA batches|a bulk payment file|a BACS file}',
  'our VAT payment {to the tax office|} {bounced|is stuck}, company account {digits6}',
  'quote for {foreign exchange|trade finance|a guarantee} for a shipment from {country}',
  'the company card of {name} {surname} {was declined|has been lost}, our firm needs it for {a trade fair|travel}',
]
const OTHER: readonly string[] = [
  'I am a student {writing a thesis|doing a survey} on {banks|digital payments}, may I ask some questions',
  'I applied for {a job|an internship} in {city} {when} and have heard nothing',
  'our football club is looking for {a sponsor|sponsors} for the {season|summer tournament}',
  'we offer {cleaning|catering|translation} services and would like to introduce ourselves',
  'what are the opening hours of the branch in {city} {on {day}|over the holidays}',
  'just wanted to say that {name} in {city} was {wonderful|very kind} to my {mother|father}',
  'please {unsubscribe me|remove me} from your newsletter',
  'the {door|lift|parking} at your {city} branch is {broken|closed|not wheelchair friendly}',
  'invoice {digits4} for {office plants|printer toner} remains unpaid, kindly remit',
  'press enquiry: a comment on {the new rate decision|branch closures} by {day}',
]
const DETAILS = [
  'I have attached what I could find.',
  'My customer number is {digits6}.',
  'This is the second time I write.',
  'I tried the hotline {when} without success.',
  'You can reach me under {#700-799} {digits3} {digits3}.',
  'I bank with you since 20{#10-22}.',
  'My partner has the same question.',
  'I would prefer an answer in writing.',
  'Last time it was solved within a day.',
  'I looked in the app but found nothing.',
  'I am abroad until {day}.',
]
const GREETINGS = [
  'Dear Sir or Madam,',
  'Hello,',
  'Dear Nordlicht team,',
  'Good morning,',
  'Hi,',
  'To whom it may concern,',
  'Dear bank,',
]
const SIGNATURES = [
  'Kind regards\n{name} {surname}',
  'Best, {name}',
  '{name} {surname}\n{city}',
  'Yours sincerely,\n{name} {surname}',
  'Regards\n{surname}',
]

/** One e-mail with subject, two to four sentences and a signature; truth is its queue. */
export function composeMail(rng: Rng): Message {
  const draw = rng.next()
  const { queue, core, rivals } =
    draw < 0.1
      ? { queue: 'business' as Queue, core: expand(rng.pick(BUSINESS), LISTS, rng), rivals: [] }
      : draw < 0.19
        ? { queue: 'other' as Queue, core: expand(rng.pick(OTHER), LISTS, rng), rivals: [] }
        : customerConcern(rng)
  const subject = expand(rng.pick(rng.next() < 0.55 ? SUBJECTS[queue] : VAGUE_SUBJECTS), LISTS, rng)
  const sentences = [
    `${capital(core).replace(/[.?!]+$/, '')}${/\b(what|how|why|can|where)\b/i.test(core) ? '?' : '.'}`,
  ]
  for (let extra = rng.int(3); extra > 0; extra--)
    sentences.push(expand(rng.pick(DETAILS), LISTS, rng))
  if (rng.next() < 0.3) sentences.reverse()
  const body = [rng.pick(GREETINGS), sentences.join(' '), expand(rng.pick(SIGNATURES), LISTS, rng)]
  return {
    text: `Subject: ${subject}\n\n${mistype(body.join('\n'), rng)}`,
    truth: queue,
    rivals,
  }
}

function customerConcern(rng: Rng): { queue: Queue; core: string; rivals: readonly string[] } {
  if (rng.next() < SHARED_RATE) {
    const shared = rng.pick(SHARED_PHRASES)
    const core = expand(rng.pick(shared.templates), LISTS, rng)
    const [a, b] = shared.labels.map(queueOf) as [Queue, Queue]
    const queue = rng.next() < 0.62 ? a : b
    return { queue, core, rivals: a === b ? [] : [queue === a ? b : a] }
  }
  const intent = drawIntent(rng)
  const foreign = rng.next() < FOREIGN_RATE
  const core = expand(rng.pick(foreign ? intent.foreign : intent.templates), LISTS, rng)
  return { queue: intent.queue, core, rivals: [] }
}

function queueOf(label: string): Queue {
  return (INTENTS.find(intent => intent.label === label) as Intent).queue
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
