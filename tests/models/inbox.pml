/* The MPSC inbox (runtime/ring.hpp: MpscProducer::try_claim and publish, SpscConsumer).
 *
 * PRODUCERS producers send EACH messages. Producer 0 is the H2K dispatcher: it may fill the inbox only to LIMIT. A
 * ticket is taken by compare-exchange on `tail`, the payload (two words) is written, the commit word stored.
 * Every access is one sequentially consistent step.
 *
 * Claims: each producer's messages arrive once, whole and in order; no slot is written before its credit came
 * back; the consumer never passes a ticket that was taken and not published; producer 0 keeps to its limit; all
 * arrive (no invalid end state).
 *
 * Mutants: 1 ticket by load and store  2 commit before payload  3 credit before the read
 *          4 the consumer passes an unpublished ticket  5 room not checked again after a lost claim
 *          6 the dispatcher ignores its limit
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CAP
#define CAP 2
#endif
#ifndef LIMIT
#define LIMIT (CAP / 2)
#endif
#ifndef EACH
#define EACH 3
#endif
#define ALL (PRODUCERS * EACH)

byte commit[CAP];
byte who[CAP];    /* payload, first word */
byte number[CAP]; /* payload, second word */
byte tail;        /* RingWords::tail */
byte consumed;    /* RingWords::consumed */

byte unread[CAP]; /* ghost: 1 from the commit to the end of the read */

#define IN_USE(ticket) ((ticket) > credit -> (ticket) - credit : 0)

proctype producer(byte me; byte limit) {
  byte ticket, credit, sent;
  bool claimed;
  do
  :: sent == EACH -> break
  :: else ->
     claimed = false;
     ticket = tail;
     do
     :: claimed -> break
     :: else ->
        if
        :: IN_USE(ticket) < limit
        :: else ->
           credit = consumed;
           if
           :: IN_USE(ticket) < limit
           :: else ->
              /* null; the caller tries again, in vain until the credit word moves */
              consumed != credit -> ticket = tail
           fi
        fi;
#if MUTANT == 5
claim:
#endif
        if
        :: IN_USE(ticket) < limit || MUTANT == 5 ->
#if MUTANT == 1
           if
           :: tail == ticket -> tail = ticket + 1; claimed = true
           :: else -> ticket = tail
           fi
#else
           atomic {
             if
             :: tail == ticket ->
                tail = ticket + 1;
                claimed = true;
                assert(me != 0 || tail - consumed <= LIMIT);
                assert(tail - consumed <= CAP)
             :: else -> ticket = tail
             fi
           }
#endif
#if MUTANT == 5
           if
           :: !claimed -> goto claim
           :: else
           fi
#endif
        :: else
        fi
     od;
     assert(unread[ticket % CAP] == 0);
#if MUTANT == 2
     atomic { commit[ticket % CAP] = ticket + 1; unread[ticket % CAP] = 1 }
#endif
     who[ticket % CAP] = me;
     number[ticket % CAP] = sent;
#if MUTANT != 2
     atomic { commit[ticket % CAP] = ticket + 1; unread[ticket % CAP] = 1 }
#endif
     sent++
  od
}

active proctype consumer() {
  byte position, next[PRODUCERS], from;
  do
  :: position == ALL -> break
  :: position < ALL && commit[position % CAP] == position + 1 ->
#if MUTANT == 3
     consumed = position + 1;
#endif
     from = who[position % CAP];
     assert(from < PRODUCERS);
     assert(number[position % CAP] == next[from]);
     next[from]++;
     atomic { unread[position % CAP] = 0; position++ }
#if MUTANT != 3
     consumed = position
#endif
#if MUTANT == 4
  :: position + 1 < ALL && commit[position % CAP] != position + 1 &&
     commit[(position + 1) % CAP] == position + 2 -> position++
#endif
  od
}

init {
  byte i;
  atomic {
#if MUTANT == 6
    run producer(0, CAP);
#else
    run producer(0, LIMIT);
#endif
    i = 1;
    do
    :: i < PRODUCERS -> run producer(i, CAP); i++
    :: else -> break
    od;
    i = 0
  }
}
