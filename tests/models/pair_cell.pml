/* A pair cell beside the inboxes of two workers (runtime/pair_cell.hpp, Mailbox::next_of_inbox, Outbox::claim_calmly).
 *
 * Each worker sends EACH numbered messages to the other, through its inbox or, where it may, through the cell; while it
 * waits or within a handler. A message through the inbox takes the next ticket and is written in two steps: payload,
 * commit word. One through the cell is written in two steps: payload with `after`, count. The reader may leave a message
 * that it copied into its box for a while: its handler has no room. Every access is one sequentially consistent step.
 *
 * Claims: each worker handles the other's messages 0, 1, 2, ... in order, once and whole; never do both ends write
 * the cell at a time; all messages are handled (no invalid end state).
 *
 * Mutants: 1 `after` is not waited for  2 no message of the inbox is marked  3 a marked one is taken without a look
 *          4 the cell is looked at before the mark  5 the cell is written while the other's message waits in the box
 *          6 count before payload  7 both ends take the first turn
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef EACH
#define EACH 3
#endif
#ifndef BACK
#define BACK 2 /* messages of worker 1 */
#endif
#define MARK 128
#define OTHER (1 - me)
#define SLOT(w, p) ((w) * EACH + (p))

/* Inboxes with a slot for each message: laps and credits are ring.pml's. */
byte commit[2 * EACH]; /* position + 1, and MARK */
byte inbox[2 * EACH];  /* payload */

byte count;   /* low half of the cell's word */
byte after;   /* its high half, stored with it */
byte payload; /* the cell's message */
bool writes[2]; /* ghost: an end is about to write the cell */

#if MUTANT == 7
#define PARITY(w) 0
#else
#define PARITY(w) (w)
#endif
#define MY_TURN (known % 2 == PARITY(me))
#define ALL(w) ((w) == 0 -> EACH : BACK)
#define HAS_FRONT (position < EACH && commit[SLOT(me, position % EACH)] == position + 1)
#define IS_MARKED (position < EACH && commit[SLOT(me, position % EACH)] == position + 1 + MARK)

inline handle(number) {
  assert(number == expected);
  expected++
}

/* The next message, by the cell where `calm`. */
inline send(calm) {
  if
  :: calm && MY_TURN && (box != 1 || MUTANT == 5) ->
     atomic { writes[me] = true; assert(!writes[OTHER]) }
#if MUTANT == 6
     atomic { count = known + 1; after = claimed; writes[me] = false }
     payload = sent;
#else
     payload = sent;
     atomic { count = known + 1; after = claimed; writes[me] = false } /* one word */
#endif
     known++;
     unmarked = true
  :: true ->
     inbox[SLOT(OTHER, claimed)] = sent;
     commit[SLOT(OTHER, claimed)] = claimed + 1 + ((unmarked && !MY_TURN && MUTANT != 2) -> MARK : 0);
     claimed++;
     unmarked = false
  fi;
  sent++
}

inline look_at_cell() {
  if
  :: box == 0 && count == known + 1 && !(MY_TURN && MUTANT != 7) ->
     boxed = payload;
     atomic { known++; due = after; box = 1 }
  :: else
  fi
}

/* box: 0 empty, 1 waits, 2 in hand */
inline handle_box() {
  box = 2;
  number = boxed;
  handle(number);
  if
  :: sent < ALL(me) -> send(true)
  :: true
  fi;
  box = 0
}

proctype worker(byte me) {
  byte known, claimed, sent, expected, position, box, boxed, due, number;
  bool unmarked, marked;
  do
  :: sent < ALL(me) -> send(true)
  :: sent < ALL(me) -> send(false)
     /* an unmarked front goes first, cells are looked at now and then */
  :: HAS_FRONT ->
     number = inbox[SLOT(me, position)];
     handle(number);
     if
     :: sent < ALL(me) -> send(true) /* the handler answers */
     :: true
     fi;
     position++
     /* what waits in the box may stay there: its handler has no room */
  :: box == 1 && (position >= due || MUTANT == 1) -> handle_box()
     /* the cell, and a marked front; a look that finds nothing at all is left out */
  :: expected < ALL(OTHER) ->
#if MUTANT == 4
     look_at_cell();
#else
     marked = IS_MARKED;
#endif
     if
     :: IS_MARKED || (count == known + 1 && box == 0) ->
#if MUTANT == 4
        marked = IS_MARKED;
#else
        look_at_cell();
#endif
        if
        :: marked && (box == 0 || position < due || MUTANT == 3) -> commit[SLOT(me, position)] = position + 1
        :: else
        fi
     :: sent < ALL(me) || HAS_FRONT || (box == 1 && position >= due) /* there is something else to do */
     fi;
     marked = false
  :: expected == ALL(OTHER) && sent == ALL(me) && box == 0 -> break
  od
}

init {
  atomic { run worker(0); run worker(1) }
}
