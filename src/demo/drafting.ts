/** Long free answers to customers, no two alike. Knows no request bodies. */
import type { Rng } from '../util/index.ts'
import { expand } from './grammar.ts'
import { LISTS } from './phrases.ts'

const THANKS = [
  'thank you for {getting in touch|your message|writing to us}',
  'thanks for {your patience|letting us know}',
  'I am sorry to read about {the trouble|this}',
  'I can {see|understand} why {this worries you|you ask}',
]
const FINDINGS = [
  'I have {looked into|checked} {the payment of {amount}|your {account}|the booking from {day}} and {it was released {when}|it is still with the other bank|everything is in order}.',
  'The {amount} you mention {was booked {when}|will be credited by {day}|is held by {merchant} for now}.',
  'Our colleagues in {city} {have ordered a new card|are tracing the transfer|reviewed your case {when}}, {reference {digits6}|case {digits5}}.',
  'For your safety we {paused online payments|asked the network to stop the card ending {digits4}} until {day}.',
]
const STEPS = [
  'Please open the app, choose {Cards|Payments|Profile}, and {confirm the request|follow the {#2-5} steps on screen}.',
  'You {do not need to do anything further|only need to reply with {a photo of the receipt|your new address}}.',
  'If you {prefer|would rather}, you can {visit the branch in {city} with your ID|call us between {#7-9} and {#17-20} o’clock}.',
  'Should nothing have {arrived|changed} by {day}, {simply answer this message|quote {digits6} on the phone} and {name} will take over.',
]
const ENDINGS = [
  'Kind regards, {name} {surname}, Nordlicht Bank',
  'Best wishes\n{name} from the support team',
  'With apologies for the wait, {name}',
]

/** A reply as a helpful lead would draft it. */
export function draftReply(rng: Rng): string {
  const pieces = [
    `Dear {Mr|Ms} {surname}, ${rng.pick(THANKS)}.`,
    ...rng.shuffle([...FINDINGS]).slice(0, 1 + rng.int(2)),
    ...rng.shuffle([...STEPS]).slice(0, 1 + rng.int(3)),
    rng.pick(ENDINGS),
  ]
  return pieces.map(piece => expand(piece, LISTS, rng)).join(' ')
}
