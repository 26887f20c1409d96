/** Messages to a live chat whose urgency somebody must judge. Knows no request bodies. */
import type { Rng } from '../util/index.ts'
import { expand, pickWeighted } from './grammar.ts'
import type { Message } from './job.ts'
import { drawIntent } from './messages.ts'
import { dress, LISTS } from './phrases.ts'
import { mistype } from './typos.ts'

export const URGENCIES = ['low', 'normal', 'high', 'critical'] as const
type Urgency = (typeof URGENCIES)[number]

const WEIGHTS = [0.27, 0.42, 0.2, 0.11]

/** What marks the degree; `borderline` phrases belong to this degree or the next higher one. */
const CUES: Readonly<Record<Urgency, { clear: readonly string[]; borderline: readonly string[] }>> =
  {
    low: {
      clear: [
        'no {rush|hurry} {at all|}',
        'just {curious|wondering|out of interest}',
        'whenever you have {a minute|time}',
        'only a general question',
        'for next year maybe',
        'not urgent {really|}',
        'nothing is wrong, just asking',
        'thinking about it for {the summer|later}',
        'small thing',
        'just some feedback, the new design is {nice|confusing}',
        'is this even possible? only asking',
        'take your time',
      ],
      borderline: [
        'when you get to it',
        'would be nice to know',
        'at some point this month',
        'if it is not too much trouble',
      ],
    },
    normal: {
      clear: [
        'please {look into it|check} {this week|in the next days}',
        "it's {been a bit annoying|not ideal}",
        'could you {sort this out|fix it}',
        'I need it {by next week|for my records}',
        'waiting for your reply',
        'this is the {first|second} time',
        'need some help with that',
        'what are the next steps',
        'can you tell me what to do',
        'I would like this {solved|changed}',
        '{before the end of the month|within the week} ideally',
      ],
      borderline: [
        'getting a bit impatient',
        'I need an answer soon',
        'my rent is due {on {day}|next week}',
        'third time I ask',
        'I leave on {day}',
      ],
    },
    high: {
      clear: [
        'I need this {today|by tonight|before 5pm}',
        "I'm {stuck abroad|standing at the till} {without money|}",
        'my rent {bounces|is due} {tomorrow|today}',
        'the {exchange of contracts|completion} is {tomorrow|this afternoon}',
        'I cannot {pay for food|buy petrol|pay my staff}',
        'flight leaves {tonight|in {#2-9} hours}',
        '{asap|as soon as possible} please, {deadline is today|it cannot wait}',
        'they will {cut off my electricity|cancel the sale} {today|tomorrow}',
        'please {escalate|call me} {today|within the hour}',
      ],
      borderline: [
        'something is very wrong here',
        'I am really worried',
        "can't reach anybody on the phone",
        'this looks dangerous',
        'I am shaking',
      ],
    },
    critical: {
      clear: [
        'someone is {emptying|draining} my {account} {right now|as we speak}',
        'I {gave|told} {a caller|someone} my {password|codes} {just now|minutes ago}',
        'money is {leaving|disappearing} every minute',
        'STOP ALL PAYMENTS {NOW|IMMEDIATELY}',
        'my phone was {hacked|taken over} and they are in {the app|my {account}}',
        'a man {forced|threatened} me to {send|withdraw} {amount|bigamount}',
        'they are {transferring|taking} {amount|bigamount} {right now|this second}',
        'I see {payments|withdrawals} happening live that {are not mine|I do not make}',
        'I clicked a {link|text} and now {all my savings|{bigamount}} {is gone|are going}',
        'scammer is on the other line {telling me to move my money|with remote access to my laptop}',
      ],
      borderline: [],
    },
  }
const FOREIGN: Readonly<Record<Urgency, readonly string[]>> = {
  low: ['Nur eine allgemeine Frage, es eilt nicht', 'Solo por curiosidad, sin prisa'],
  normal: ['Bitte schauen Sie sich das diese Woche an', '¿Pueden revisarlo, por favor?'],
  high: [
    'Ich brauche das heute noch, mein Flug geht um {#1-12} Uhr',
    'Lo necesito hoy, es muy urgente',
  ],
  critical: [
    'Jemand räumt gerade mein Konto leer!',
    '¡Me están robando dinero de la cuenta ahora mismo!',
  ],
}

/** One message to the live chat; truth is its urgency. */
export function composeChat(rng: Rng): Message {
  const level = pickWeighted(WEIGHTS, rng)
  const urgency = URGENCIES[level] as Urgency
  const { clear, borderline } = CUES[urgency]
  const draw = rng.next()
  if (draw < 0.035) {
    return {
      text: mistype(expand(rng.pick(FOREIGN[urgency]), LISTS, rng), rng),
      truth: urgency,
      rivals: [],
    }
  }
  const isBorderline = draw < 0.075 && borderline.length > 0
  const say = (): string => expand(rng.pick(isBorderline ? borderline : clear), LISTS, rng)
  const higher = URGENCIES[level + 1] as Urgency
  const truth = isBorderline && rng.next() < 0.35 ? higher : urgency
  const concern = expand(rng.pick(drawIntent(rng).templates), LISTS, rng)
  const text = arrange([say(), say()], concern, rng)
  return {
    text: mistype(dress(text, rng, { asideRate: 0.12 }), rng),
    truth,
    rivals: isBorderline ? [truth === urgency ? higher : urgency] : [],
  }
}

/** One cue or two, with the concern before, between or after them, or left out. */
function arrange(cues: readonly [string, string], concern: string, rng: Rng): string {
  const [first, second] = cues
  const other = second === first ? [] : [second]
  const draw = rng.next()
  const parts =
    draw < 0.4
      ? [first, ...other]
      : draw < 0.54
        ? [first]
        : draw < 0.58
          ? [concern, first]
          : draw < 0.64
            ? [first, concern]
            : [first, concern, ...other]
  return parts.join(rng.pick(['. ', ', ', ' - ', '! ', '... ']))
}
