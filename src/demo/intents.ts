/** What customers of the generated bank write, by intent: templates, and phrases that two intents share. */

export interface Intent {
  readonly label: string
  /** E-mail queue that such a message belongs to. */
  readonly queue: Queue
  readonly templates: readonly string[]
  /** The same concern in other languages. */
  readonly foreign: readonly string[]
}

export const QUEUES = [
  'cards',
  'payments',
  'accounts',
  'digital',
  'lending',
  'fraud',
  'business',
  'other',
] as const
export type Queue = (typeof QUEUES)[number]

/** Most frequent first: the day draws them with Zipf weights. */
export const INTENTS: readonly Intent[] = [
  {
    label: 'transfer_missing',
    queue: 'payments',
    templates: [
      "{relative} sent me {amount} {when} and it {still hasn't arrived|isn't there yet|never showed up}",
      'I {sent|transferred} {amount} to {relative|my landlord|a friend} {when} and they {say nothing came|have not got it|are still waiting}',
      '{where is|what happened to} the {amount} I {wired|sent} {when}?',
      "my salary {was due|should have come} {when} but {it's not in my {account}|there is nothing}",
      'the transfer {says completed|shows as done} but the {recipient|other bank|builder} {cannot see it|has nothing}',
      '{how long|how many days} does a transfer {take|need} to {arrive|land} in {country|another bank}? {mine is still not there|}',
      'bank transfer {pending|stuck|in limbo} for {long}',
      'I am {waiting for|expecting} {a payment of|} {amount} from {name}, {no sign of it|where has it gone}',
      'an incoming payment from {country} has {gone missing|not been credited}',
      'sent money to {name} {when}, {has it gone through|is it lost}?',
    ],
    foreign: [
      'Ich habe {when|gestern|am Montag} {#20-900} Euro überwiesen, das Geld ist {noch nicht|immer noch nicht} angekommen',
      'La transferencia de {#20-900} euros que hice {ayer|el lunes} no ha llegado',
      'Mon virement de {#20-900} euros n’est {toujours|} pas arrivé',
    ],
  },
  {
    label: 'card_declined',
    queue: 'cards',
    templates: [
      'my {card} {was|got|keeps getting} {declined|refused|rejected} at {shop}',
      "the {terminal|machine} at {shop} {wouldn't take|refused} my {card} {although|even though} {I have enough money|there is money in my {account}}",
      'why {did|does} my {card} {not work|get declined} {online|in shops|when I pay {merchant}|abroad}?',
      'tried to {buy|pay} {groceries|petrol|a train ticket|dinner} with my {card}, {declined twice|transaction denied}',
      'card payment {failed|bounced} at {shop} {when}, {so embarrassing|had to borrow cash}',
      "contactless {doesn't work|stopped working}, the {till|reader} says {not authorised|declined}",
      '{merchant} says my {card} was rejected by {my bank|you}',
      "can't pay with my {card} in {country}, {every shop turns it down|always declined}",
      'getting {"do not honour"|error 05|"refused by issuer"} when I pay with the {card}',
    ],
    foreign: [
      'Meine Karte wurde {an der Kasse|im Supermarkt|gestern} abgelehnt, warum?',
      'Mi tarjeta fue rechazada en {el supermercado|una tienda}, ¿por qué?',
      'Ma carte a été refusée {au restaurant|hier|en ligne}',
    ],
  },
  {
    label: 'unknown_payment',
    queue: 'fraud',
    templates: [
      "there's a {payment|charge} of {amount} to {merchant} that I {don't recognise|never made|did not authorise}",
      'I {see|found|spotted} a transaction from {merchant} {when} which {is not mine|I know nothing about}',
      'who is {merchant}? they {took|charged} {amount} {when} and I {never bought anything there|have no idea why}',
      'someone {has used|is using} my {card} {online|in {city}|in {country}}, {I have it here with me|it was not me}',
      '{several|three|two} {strange|odd|suspicious} {payments|purchases} on my {account} {when}',
      'I did not {spend|withdraw} {amount} {in {city}|at {merchant}|when it says}',
      'I want to {dispute|report} a {fraudulent|unauthorised} {charge|payment} of {amount}',
      'my statement {lists|shows} {merchant} {amount}, {what is this|not me}!',
      'cash withdrawal of {amount} in {city} {when} {I was nowhere near|was not done by me}',
    ],
    foreign: [
      'Auf meinem Konto ist eine Abbuchung von {merchant}, die ich nicht kenne',
      'No reconozco un cargo de {#9-400} euros de {merchant}',
      'Je ne reconnais pas un paiement de {#9-400} euros chez {merchant}',
    ],
  },
  {
    label: 'login_help',
    queue: 'digital',
    templates: [
      "I {can't|cannot|am unable to} {log in|sign in|get into} {to|} the {app|online banking|website}",
      'the app {says|tells me} {wrong password|user not found|session expired} {every time|again and again}',
      'I {forgot|have forgotten|lost} my {online banking password|user ID|username|passcode for the app}',
      'app {crashes|freezes|shows a blank page} {when I open it|on start|after the update}',
      '{how} {reset|recover} my {password|online access}',
      '{face id|fingerprint login|the passkey} {stopped working|no longer works} {in|with} your app',
      'online banking is {down|not loading} {for me|on my laptop}',
      "the {confirmation|text|SMS} code {never comes|doesn't arrive} when I {sign in|log on}",
      'my internet banking access {is blocked|got suspended} after {too many tries|the update}',
    ],
    foreign: [
      'Ich komme nicht mehr {in die App|ins Online-Banking}, Passwort wird nicht angenommen',
      'No puedo entrar en la {aplicación|banca online}',
      'Impossible de me connecter à {l’application|mon espace client}',
    ],
  },
  {
    label: 'card_delivery',
    queue: 'cards',
    templates: [
      "my {new|replacement|} {card} {still hasn't come|has not arrived|isn't here} {after {long}|yet}",
      '{when will|how long until} my {new|replacement} {card} {arrive|be delivered|come in the post}?',
      'I ordered a {card} {when} and {nothing has come in the mail|the post brought nothing}',
      '{can|could} you {track|check} {the delivery of|where} my {card} {is|}?',
      'waiting for a {card} for {long}, {has it been sent|was it posted}?',
      'did you {post|send} my {card} to {the right address|{city}}?',
      '{is there|do you have} {express delivery|a faster way to get} for a new {card}?',
      'the envelope with my {card} {came open|arrived empty|never reached me}',
    ],
    foreign: [
      'Meine neue Karte ist {immer noch nicht|nicht} angekommen, bestellt {vor zwei Wochen|im {month}}',
      'Mi tarjeta nueva no ha llegado todavía',
      'Je n’ai pas encore reçu ma nouvelle carte',
    ],
  },
  {
    label: 'balance_query',
    queue: 'accounts',
    templates: [
      "what's {my balance|the balance on my {account}|left in my {account}} {right now|}?",
      'my balance {looks wrong|is not right|does not add up} {since {day}|}',
      'the app shows {amount} but {it should be|I calculated} {amount}',
      'available balance and {actual balance|booked balance} {differ|are different}, {why|please explain}',
      'how much {money|} do I have in my {account}',
      'balance {has not updated|not updating} since {when}',
      '{why is there|how come there is} {less money|{amount} less} than {I thought|yesterday} in my {account}',
      'can I {see|check} the balance of {my savings|my {account}} {by phone|without the app}',
    ],
    foreign: [
      'Mein Kontostand stimmt nicht',
      'Mi saldo no es correcto',
      'Mon solde est faux depuis {day}',
    ],
  },
  {
    label: 'fee_query',
    queue: 'accounts',
    templates: [
      'why {was I|have I been} charged {a fee of|} {amount} {on my {account}|for the account|this month}?',
      '{what is|can you explain} the {monthly fee|service charge|account maintenance fee} {on my statement|of {amount}}?',
      'you {took|deducted} {amount} {in fees|as a charge} {when}, {what for|I want to know why}',
      'do you {charge|take a fee} for {cash withdrawals|ATM use|foreign payments|transfers} {in {country}|}?',
      'I was told {the account is free|there are no charges} {but|and now} {amount} {fee|was taken as fee}',
      '{please refund|can I get back} the {late|service|card} fee of {amount}',
      'how much {does|would} {a replacement card|an international transfer|a premium account} cost',
      'there are {two|extra} {bank charges|fees} on my {account} {when}',
    ],
    foreign: [
      'Warum wurden mir {#3-30} Euro Gebühren berechnet?',
      '¿Por qué me han cobrado una comisión de {#3-30} euros?',
      'Pourquoi des frais de {#3-30} euros ce mois-ci ?',
    ],
  },
  {
    label: 'pin_help',
    queue: 'cards',
    templates: [
      "I {forgot|can't remember|have forgotten} {my PIN|the pin of my {card}|my four digit code}",
      '{how} {change|reset} {my PIN|the PIN for my {card}}',
      'entered {the wrong PIN|my pin wrong} {three times|too often}, {now it is blocked|what now}',
      '{can I|is it possible to} choose {my own|a new} PIN {at an ATM|in the app|}?',
      'the {PIN letter|letter with the pin} {never came|is illegible|got lost}',
      'please {send|give} me {a new PIN|a PIN reminder} for my {card}',
      'my PIN {does not work|is not accepted} at {the cash machine|{shop}}',
      'need to unblock {my pin|the PIN on my {card}}',
    ],
    foreign: [
      'Ich habe meine PIN vergessen',
      'He olvidado el PIN de mi tarjeta',
      'J’ai oublié le code de ma carte',
    ],
  },
  {
    label: 'lost_card',
    queue: 'cards',
    templates: [
      'I {lost|have lost|misplaced} my {card} {when|in {city}|on the {train|bus}|}',
      'my {wallet|purse|bag} {was|got} stolen {in {city}|when|on the metro}, {block everything|the card is in it}',
      '{please|} {block|freeze|cancel} my {card} {now|immediately|}, {it is gone|I left it in a taxi|it was stolen}',
      "can't find my {card} {anywhere|since {day}|}",
      '{someone|a pickpocket} {stole|took} my {card} {when|in {city}}',
      'left my {card} {at {shop}|in a {cab|hotel}}, {please stop it|can you freeze it}',
      'report a {lost|stolen|missing} {card}',
      'dropped my {card} somewhere {in {city}|}, {how} block it',
    ],
    foreign: [
      'Ich habe meine Karte {verloren|in {city} verloren}, bitte sperren',
      'Me han robado la {tarjeta|cartera} en {city}',
      'J’ai perdu ma carte {hier|à {city}}, bloquez-la',
    ],
  },
  {
    label: 'refund_missing',
    queue: 'payments',
    templates: [
      '{merchant} {says they refunded|promised to refund} {amount} {when} but {I see nothing|it is not on my card}',
      "my refund from {merchant} {hasn't shown up|is missing|is taking {long}}",
      'I {returned|sent back} {shoes|an order|a jacket} to {merchant}, {when do I get|where is} my money back?',
      '{how long|how many days} {do refunds take|until a refund is booked}?',
      'cancelled {my booking|a hotel|the tickets} with {merchant}, the {amount} {has not come back|is still not refunded}',
      'a refund of {amount} {shows as pending|was reversed} {for {long}|}',
      '{only half of|part of} my refund from {merchant} {arrived|came}',
      'merchant confirmed the credit of {amount}, {not on my statement|no trace of it}',
    ],
    foreign: [
      'Die Rückerstattung von {merchant} ist noch nicht da',
      'No me ha llegado el reembolso de {merchant}',
      'Le remboursement de {merchant} n’apparaît pas',
    ],
  },
  {
    label: 'change_details',
    queue: 'accounts',
    templates: [
      'I {moved|have moved|am moving} to {city} {when}, {please update|how do I change} my address',
      '{want} to {change|update} my {address|phone number|mobile number|email|surname}',
      'I {got married|divorced} and {have a new name|my surname is now {surname}}',
      'you {have|still have} {the wrong|an old} {address|phone number|email} for me',
      '{how} change the {email|number|postal address} {you have on file|in my profile}',
      'new {mobile number|phone number} {#700-799} {digits3} {digits3}, {please note it|update it please}',
      'letters {still|} go to my old {flat|address} in {city}',
      'my {email|phone} has changed, {what do you need from me|can I do it online}',
    ],
    foreign: [
      'Ich bin nach {city} umgezogen, meine Adresse hat sich geändert',
      'Quiero cambiar mi {dirección|número de teléfono}',
      'J’ai déménagé à {city}, comment changer mon adresse ?',
    ],
  },
  {
    label: 'payment_limit',
    queue: 'payments',
    templates: [
      '{want} to {raise|increase} my {daily|transfer|card|spending} limit to {bigamount|amount}',
      'what is {the maximum|the limit} I can {transfer|send|withdraw|spend} {per day|at once|online}?',
      '{it says|the app says} {I have reached|I am over} my {daily|monthly} limit',
      'need to send {bigamount} for {a car|a deposit|the builder}, {is that allowed|what is the cap}?',
      '{can I|could I} lower {the|my} {contactless|online|withdrawal} limit',
      'limit for {cash|ATM withdrawals} in {country}?',
      'temporary {limit increase|higher limit} please, {buying a {car|sofa|boat}|}',
    ],
    foreign: [
      'Wie kann ich mein {Tageslimit|Überweisungslimit} erhöhen?',
      '¿Cuál es el límite diario de transferencia?',
      'Comment augmenter mon plafond de paiement ?',
    ],
  },
  {
    label: 'statement_request',
    queue: 'accounts',
    templates: [
      '{can} {send|email} me {a statement|my statements|bank statements} for {month|the last {#3-12} months|last year}?',
      '{how} {download|print|get} {my statement|a PDF of my statements|a proof of account}',
      'need {official|stamped} statements for {a visa|my landlord|the tax office}',
      "my {month} statement {is missing|hasn't come|is not in the app}",
      'stop {sending paper statements|the paper post}, {I prefer|want} {PDF|email}',
      'I need {an annual summary|a tax certificate|an interest certificate} for {last year|20{#21-25}}',
      'where {do I find|are} the old {transactions|statements} from 20{#15-22}',
    ],
    foreign: [
      'Bitte senden Sie mir die Kontoauszüge für {month}',
      'Necesito un extracto de {enero|marzo|los últimos meses}',
      'Je voudrais un relevé de compte de {mars|l’année dernière}',
    ],
  },
  {
    label: 'cancel_direct_debit',
    queue: 'payments',
    templates: [
      '{want} to {cancel|stop|end} {a|my|the} {direct debit|standing order} {to|for|with} {merchant|my gym|the rent}',
      '{how} {cancel|delete|change} a {standing order|direct debit}',
      'please {stop|reverse} the {monthly|} direct debit of {amount} {to|by} {merchant}',
      'I {left|quit} {merchant} but {the debit|the subscription} {still goes out|is still being collected}',
      'change the {date|sum} of my standing order {to {relative}|for rent}',
      'direct debit for {merchant} {went out twice|bounced|was returned}',
      '{set up|create} a {direct debit|standing order} of {amount} {each month|on the {#1-28}th}',
    ],
    foreign: [
      'Ich möchte {die Lastschrift|den Dauerauftrag} an {merchant} kündigen',
      'Quiero anular la domiciliación de {merchant}',
      'Comment arrêter le prélèvement de {merchant} ?',
    ],
  },
  {
    label: 'transfer_recall',
    queue: 'payments',
    templates: [
      'I {sent|transferred} {amount} to the wrong {account|person|IBAN} {when}, {can I get it back|please recall it}',
      '{want} to {cancel|recall|undo} a transfer I {made|just made|made {when}}',
      'typo in the {account number|IBAN}, {please stop|can you reverse} the {transfer|payment} of {amount}',
      'I {paid|sent} {name} twice {by mistake|by accident}, {undo one|how to get it back}',
      'accidentally {added a zero|sent {bigamount} instead of {amount}}',
      'is it too late to {cancel|revoke} {a|my} {scheduled|pending} transfer to {name}?',
    ],
    foreign: [
      'Ich habe {#20-900} Euro an die falsche IBAN überwiesen, bitte zurückholen',
      'He enviado dinero a la cuenta equivocada',
      'J’ai fait un virement au mauvais compte, peut-on l’annuler ?',
    ],
  },
  {
    label: 'loan_question',
    queue: 'lending',
    templates: [
      '{want} to {apply for|get|take out} a {personal|car|small} loan of {bigamount}',
      '{what interest rate|which APR} {do you offer|applies} {on|for} a {personal loan|car loan} of {bigamount}?',
      '{can I|is it possible to} {repay|pay off} my loan {early|in one go}, {any penalty|what does it cost}',
      'my loan {application|request} {has been pending for {long}|was rejected, why|status please}',
      '{pause|skip|reduce} {a loan instalment|my loan payment} {next month|because I lost my job}',
      'how much {can|could} I borrow {for a car|over {#2-7} years}',
      'documents {needed|required} for a {consumer|personal} loan?',
    ],
    foreign: [
      'Ich interessiere mich für einen Kredit über {#5-40}.000 Euro',
      'Quiero pedir un préstamo de {#5-40}.000 euros',
      'Je souhaite un prêt personnel de {#5-40} 000 euros',
    ],
  },
  {
    label: 'card_activation',
    queue: 'cards',
    templates: [
      '{how} {activate|start using} my new {card}',
      'my {card} {came|arrived} {when|}, {how do I activate it|what is the next step}',
      '{card activation|activating the card} {fails|gives an error|does not work} {in the app|}',
      'do I need to activate {the|my} {replacement|renewed} {card} {before use|}?',
      '{want} to {add|link} {my|the new} {card} to {Apple Pay|Google Pay|my phone wallet}',
      'activation code for the {card} {expired|is invalid|missing}',
    ],
    foreign: [
      'Wie aktiviere ich meine neue Karte?',
      '¿Cómo activo mi tarjeta nueva?',
      'Comment activer ma nouvelle carte ?',
    ],
  },
  {
    label: 'exchange_rate',
    queue: 'payments',
    templates: [
      'what {exchange rate|rate} do you {use|apply} for {currency}?',
      "I paid in {currency} {when} and the {rate|conversion} {seems wrong|was terrible|doesn't match}",
      'how much is {#50-900} {currency} in {pounds|euros} {today|with your rate}?',
      '{can I|do you let me} {hold|exchange|buy} {currency} in {the app|my {account}}',
      'is the {FX|currency} rate {fixed|updated} {at weekends|when the payment is booked}?',
      'going to {country}: {better to pay in|should I choose} {currency} or pounds?',
    ],
    foreign: [
      'Welchen Wechselkurs nehmen Sie für {currency}?',
      '¿Qué tipo de cambio aplican a {currency}?',
      'Quel taux de change pour {currency} ?',
    ],
  },
  {
    label: 'overdraft',
    queue: 'lending',
    templates: [
      'I would like {an|a bigger} overdraft {of {amount}|on my {account}|}',
      'I am {in|into} my overdraft {since {day}|}, {what interest|how much does it cost}',
      '{remove|cancel|lower} the overdraft {on|from} my {account}',
      'my account {went|is} {negative|overdrawn|below zero} {when}, {will there be a penalty|what happens}',
      'why {was|is} my arranged overdraft {reduced|cancelled}?',
      'overdraft interest {this month|in {month}} is {amount}, {how is it calculated|too high}',
    ],
    foreign: [
      'Ich möchte einen Dispo von {#300-3000} Euro',
      'Quiero un descubierto de {#300-3000} euros',
      'Puis-je avoir un découvert autorisé de {#300-3000} euros ?',
    ],
  },
  {
    label: 'mortgage_question',
    queue: 'lending',
    templates: [
      'what {mortgage rates|rates for a mortgage} do you have {fixed for {#2-10} years|at {#60-95}% LTV}?',
      '{want} to {remortgage|apply for a mortgage} {on a flat in {city}|for {bigamount}|}',
      'my {fixed rate|mortgage deal} {ends|expires} in {month}, {what are my options|can I switch}',
      '{can I|may I} {overpay|make extra payments on} my mortgage {by {amount}|}?',
      '{need|how do I get} {a mortgage in principle|a decision in principle} {for a house in {city}|}',
      'how long does a mortgage {application|offer} take {we exchange in {month}|}',
    ],
    foreign: [
      'Welche Zinsen haben Sie für eine Baufinanzierung über {#100-500}.000 Euro?',
      '¿Qué tipo de interés tiene la hipoteca a {#10-30} años?',
      'Quel taux pour un prêt immobilier sur {#10-25} ans ?',
    ],
  },
  {
    label: 'cash_deposit',
    queue: 'accounts',
    templates: [
      '{how|where} can I {deposit|pay in} {cash|coins|a cheque} {in {city}|}?',
      'I {deposited|paid in} {amount} {in cash|at the machine} {when} and {it is not on my {account}|the machine counted wrong}',
      'the {deposit machine|cash machine} {kept|took} my {amount} {notes|} {without crediting it|but no receipt}',
      'is there a {limit|fee} for {cash deposits|paying in coins}?',
      '{can I|may I} {deposit|pay in} {currency|foreign notes} {at a branch|}?',
      'cheque {from {name}|of {amount}} {not cleared|still not credited} {after {long}|}',
    ],
    foreign: [
      'Wo kann ich Bargeld einzahlen?',
      '¿Dónde puedo ingresar efectivo?',
      'Où déposer des espèces {à {city}|} ?',
    ],
  },
  {
    label: 'open_account',
    queue: 'accounts',
    templates: [
      '{want} to open {a|an} {account|joint account with {relative}|savings account|student account|account for my child}',
      'what {documents|papers|ID} do I need to {open an account|become a customer}?',
      '{can I|is it possible to} open an account {as a foreigner|without an address|at age {#14-17}|from {country}}?',
      'my {account application|video identification} {failed|was cancelled|is stuck}',
      'which account is best for {a student|freelancers|two people|saving}?',
      'add {relative} to my {account} {as a second holder|}',
    ],
    foreign: [
      'Ich möchte ein {Konto|Gemeinschaftskonto|Sparkonto} eröffnen',
      'Quiero abrir una cuenta {de ahorro|conjunta|}',
      'Je veux ouvrir un compte {joint|épargne|}',
    ],
  },
  {
    label: 'close_account',
    queue: 'accounts',
    templates: [
      '{want} to close {my|the} {account}',
      '{how} {close|cancel|terminate} my {account} {and move the money to another bank|}',
      'please {close|delete} {all my accounts|my profile}, I am {moving to {country}|switching bank|unhappy}',
      '{relative} has {died|passed away}, {we need to close the account|what happens with the account}',
      'is there {a notice period|a fee} {for closing|when I close} {an|my} account?',
      'leaving you for {another bank|a competitor}, {what must I do|send the remaining balance there}',
    ],
    foreign: [
      'Ich möchte mein Konto kündigen',
      'Quiero cerrar mi cuenta',
      'Je souhaite clôturer mon compte',
    ],
  },
  {
    label: 'card_swallowed',
    queue: 'cards',
    templates: [
      'the {ATM|cash machine} {swallowed|ate|kept|retained} my {card} {when|in {city}|}',
      'my {card} is {stuck in|inside} {the|your} {machine|ATM} {at {city} station|}',
      '{cash machine|ATM} {did not give back|would not return} my {card}, {how do I get it|will it be destroyed}',
      'machine took the {card} after {the wrong code|I was too slow}, {who do I call|can I collect it}',
    ],
    foreign: [
      'Der Automat hat meine Karte eingezogen',
      'El cajero se ha tragado mi tarjeta',
      'Le distributeur a avalé ma carte',
    ],
  },
]

/** Phrases that honestly mean either of two intents: the true one is known only to whoever wrote them. */
export const SHARED_PHRASES: readonly {
  readonly labels: readonly [string, string]
  readonly templates: readonly string[]
}[] = [
  {
    labels: ['card_declined', 'payment_limit'],
    templates: [
      'my payment of {amount|bigamount} to {merchant} {does not go through|was blocked|fails}',
      'cannot pay {amount|bigamount} {with my card|} for {a sofa|flights|a laptop}',
    ],
  },
  {
    labels: ['card_declined', 'card_activation'],
    templates: [
      "my new {card} {doesn't work|isn't working} {at all|yet|at {shop}}",
      'first payment with the new {card} {failed|not possible}',
    ],
  },
  {
    labels: ['unknown_payment', 'cancel_direct_debit'],
    templates: [
      '{merchant} keeps {taking|collecting} {amount} {from me|every month}, {make it stop|I never agreed}',
      'a subscription at {merchant} {I thought I ended|that I cannot place}',
    ],
  },
  {
    labels: ['unknown_payment', 'lost_card'],
    templates: [
      'I think {somebody|someone} has my {card} {details|number}',
      'worried that my {card} is in the wrong hands {since {day}|}',
    ],
  },
  {
    labels: ['unknown_payment', 'balance_query'],
    templates: [
      '{amount} is {missing|gone} from my {account} {since {day}|}',
      'money {disappeared|vanished} from my {account} {when}',
    ],
  },
  {
    labels: ['transfer_missing', 'refund_missing'],
    templates: [
      'still waiting for {amount} from {merchant}',
      '{the|my} {amount} from {merchant} {should be here by now|is late}',
    ],
  },
  {
    labels: ['transfer_missing', 'transfer_recall'],
    templates: [
      'the money I sent to {name} {when} {never reached them, I want it back|went who knows where}',
      'transfer to {name} {went wrong|has a problem}, {amount}',
    ],
  },
  {
    labels: ['fee_query', 'exchange_rate'],
    templates: [
      'why did {my holiday in {country}|paying in {currency}} cost so much extra',
      'you {added|took} {amount} on top when I paid in {currency}',
    ],
  },
  {
    labels: ['fee_query', 'overdraft'],
    templates: [
      '{amount} charged because my account was {negative|below zero} {when}',
      'what is the {charge|fee} for going {into the red|overdrawn}',
    ],
  },
  {
    labels: ['login_help', 'pin_help'],
    templates: [
      '{my|the} code is {not accepted|wrong} {again|every time}',
      'locked out after {three|too many} wrong {attempts|codes}',
      'need a new {passcode|code}',
    ],
  },
  {
    labels: ['login_help', 'change_details'],
    templates: [
      'I have a new phone and the {code|text} goes to the old number',
      'changed my {number|email} and now {I get no codes|the app is confused}',
    ],
  },
  {
    labels: ['loan_question', 'mortgage_question'],
    templates: [
      'how much could I borrow {with an income of|earning} {bigamount}',
      '{want} to borrow {bigamount} for {a house extension|renovating the kitchen}',
    ],
  },
  {
    labels: ['balance_query', 'cash_deposit'],
    templates: [
      '{paid in|put} {amount} {when} and the balance is the same',
      'I {deposited|brought} {amount} and cannot see it',
    ],
  },
  {
    labels: ['card_delivery', 'pin_help'],
    templates: [
      'the letter from you {has not come|got lost}',
      'waiting for {the second letter|your post} {for {long}|}',
    ],
  },
  {
    labels: ['open_account', 'close_account'],
    templates: [
      '{want} to {switch|move} {my account|everything} {over|to another bank}',
      'swap my {account} for {another type|the premium one}',
    ],
  },
  {
    labels: ['lost_card', 'card_swallowed'],
    templates: [
      'my {card} {did not come back|stayed} at the {ATM|bank} {when}',
      '{card} gone after using {a machine|an ATM} in {city}',
    ],
  },
]
