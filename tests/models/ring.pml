/* The slot-sequence SPSC ring (runtime/ring.hpp): one producer, one consumer, for ever.
 *
 * Positions count modulo WIDTH, so the state space is closed and every number of laps is covered. The payload
 * is two words written and read one at a time, so that a torn or early read shows. Every access is one
 * sequentially consistent step: this checks the protocol, ThreadSanitizer checks the memory orders.
 *
 * Claims: the consumer reads exactly the positions 0, 1, 2, ... (nothing lost, repeated, torn or out of order);
 * what it peeks ahead at (the cut's sweep) is committed and stays as it is; nobody waits for ever (no invalid
 * end state; with -DPROGRESS the LTL claim).
 *
 * Mutants: 1 commit before payload  2 credit before the read  3 one slot too many  4 commit word without +1
 *          5 "not zero" instead of position + 1  6 commit word written twice as far (skips a lap)
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef CAP
#define CAP 2
#endif
#define WIDTH (4 * CAP)

#if MUTANT == 3
#define ROOM (CAP + 1)
#else
#define ROOM CAP
#endif
#if MUTANT == 4
#define COMMIT(p) (p)
#elif MUTANT == 6
#define COMMIT(p) (((p) + 1 + CAP) % WIDTH)
#else
#define COMMIT(p) (((p) + 1) % WIDTH)
#endif
#if MUTANT == 5
#define VALID(p) (commit[(p) % CAP] != 0)
#else
#define VALID(p) (commit[(p) % CAP] == ((p) + 1) % WIDTH)
#endif

byte commit[CAP]; /* zeroed memory is an empty ring */
byte low[CAP];
byte high[CAP];
byte consumed;    /* RingWords::consumed */
bool popped;      /* flips at each pop; for the progress claim */

/* SpscProducer: has_room, claim, publish. */
active proctype producer() {
  byte position, credit;
  do
  :: if
     :: (position + WIDTH - credit) % WIDTH < ROOM
     :: else ->
        /* polling has no effect until the credit word moves */
        consumed != credit -> credit = consumed
     fi;
#if MUTANT == 1
     commit[position % CAP] = COMMIT(position);
#endif
     low[position % CAP] = position;
     high[position % CAP] = position;
#if MUTANT != 1
     commit[position % CAP] = COMMIT(position);
#endif
     position = (position + 1) % WIDTH
  od
}

/* SpscConsumer: front, peek, pop. */
active proctype consumer() {
  byte position, ahead;
  do
  :: VALID(position) ->
#if MUTANT == 2
     consumed = (position + 1) % WIDTH;
#endif
     assert(low[position % CAP] == position);
     assert(high[position % CAP] == position);
#if MUTANT != 2
     consumed = (position + 1) % WIDTH;
#endif
     atomic { popped = !popped; position = (position + 1) % WIDTH; ahead = 0 }
#if CAP > 1
  :: ahead + 1 < CAP ->
     /* peek(position + 1 ...): reads in place, returns nothing */
     ahead++;
     if
     :: VALID((position + ahead) % WIDTH) ->
        assert(low[(position + ahead) % CAP] == (position + ahead) % WIDTH);
        assert(high[(position + ahead) % CAP] == (position + ahead) % WIDTH)
     :: else
     fi
#endif
  od
}

#ifdef PROGRESS
ltl progress { ([]<> popped) && ([]<> !popped) }
#endif
