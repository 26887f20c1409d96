/** Messages of which some few are complaints that the regulator wants registered. Knows no request bodies. */
import type { Rng } from '../util/index.ts'
import { expand } from './grammar.ts'
import type { Message } from './job.ts'
import { drawIntent } from './messages.ts'
import { dress, LISTS } from './phrases.ts'
import { mistype } from './typos.ts'

const COMPLAINT_RATE = 0.14
const BORDERLINE_RATE = 0.018
const CONTENT_RATE = 0.045

const GRIEVANCES = [
  'I {want|wish} to {make|lodge|file} a {formal|} complaint about {how I was treated|your service|the {city} branch}',
  'your {colleague|agent|adviser} {was rude|hung up on me|lied to me} {when}',
  'this is the {third|fourth|fifth} time {you got it wrong|nobody called back}, {unacceptable|disgraceful}',
  'I expect {compensation|an apology|a written explanation} for {the stress|the costs|this mess}',
  'if this is not {resolved|put right} I {will go|am going} to the {ombudsman|press|regulator}',
  'you have {cost me|made me lose} {amount|a house|a day of work} {by your mistake|through your error}',
  'I am {disgusted|appalled|furious} with {the way you handle this|this bank}',
  '{worst|most incompetent} bank {I have ever dealt with|ever}, {you promised a call and nothing happened|nobody takes responsibility}',
  'you {closed my {account}|blocked my money} without {warning|a word}, and {nobody explains why|I was left without money}',
  '{no reply|total silence} to my {letter|emails} for {long}, how can {a bank|you} treat people like that',
  'the adviser sold me {an insurance|a product} I {did not need|never asked for}',
]
const MILD = [
  'not very happy with this',
  'I find it {strange|a bit odd} that it takes {long}',
  '{honestly|frankly} a bit disappointing',
  'the wait on the phone is {too long|awful}',
  'this really should be easier',
  'you could do better here',
  'the new app is {terrible|worse than before}',
  'I am {annoyed|frustrated} {by now|}',
]
const CONTENT = [
  '{name} in the {city} branch was {lovely|so helpful}, thank you',
  'the complaint I made {when} is solved, {all good now|thank you}',
  'no complaint, just {a question|asking}',
  'how do I make a complaint about {another bank|a merchant}?',
  '{merchant} is disgraceful, {can you help me get my money back|they refuse to refund me}',
  'I am furious with {merchant}, not with you',
]

/** One message; truth is `yes` where it must be registered as a complaint. */
export function composeComplaint(rng: Rng): Message {
  const concern = expand(rng.pick(drawIntent(rng).templates), LISTS, rng)
  const draw = rng.next()
  if (draw < COMPLAINT_RATE) return finish([concern, grieve(rng)], 'yes', [], rng)
  if (draw < COMPLAINT_RATE + BORDERLINE_RATE) {
    const truth = rng.next() < 0.3 ? 'yes' : 'no'
    return finish([concern, rng.pick(MILD)], truth, [truth === 'yes' ? 'no' : 'yes'], rng)
  }
  if (draw < COMPLAINT_RATE + BORDERLINE_RATE + CONTENT_RATE)
    return finish([concern, rng.pick(CONTENT)], 'no', [], rng)
  return { text: mistype(dress(concern, rng), rng), truth: 'no', rivals: [] }
}

function finish(
  [concern, feeling]: readonly [string, string],
  truth: string,
  rivals: readonly string[],
  rng: Rng,
): Message {
  const said = expand(feeling, LISTS, rng)
  const draw = rng.next()
  const core = draw < 0.4 ? said : draw < 0.7 ? `${concern}. ${said}` : `${said}. ${concern}`
  return { text: mistype(dress(core, rng, { asideRate: 0.12 }), rng), truth, rivals }
}

/** One grievance or, from the angrier ones, two. */
function grieve(rng: Rng): string {
  const one = rng.pick(GRIEVANCES)
  const two = rng.pick(GRIEVANCES)
  return rng.next() < 0.3 || one === two ? one : `${one}. ${two}`
}
