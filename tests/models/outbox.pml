/* Bounded outboxes, inboxes and stashes of WORKERS workers with cyclic traffic, and the host's watcher that tells
 * a run that has ended, and queues that wait for each other, from a run that goes on
 * (kernels/outbox.hpp, kernels/mailbox.hpp, Worker::next_message, Runtime::Impl::scan_counters).
 *
 * A message with hops left makes its handler send FAN more, each to any worker; one without sends none. A handler
 * starts only if the outbox has room for what its message declares; otherwise the message goes to the stash, and
 * later ones follow it there (one actor per worker). A full inbox leaves messages in the sender's outbox, whose room
 * comes back from the oldest entry on. Pushing into an inbox is one step here: inbox.pml is why.
 *
 * Workers publish {sent, received, acts, waits_for}, and then the heartbeat; late, while they are busy. `acts` counts
 * what they moved: messages handled, set aside, flushed. waits_for names the worker whose full inbox held the oldest
 * entry of the outbox in a turn that moved nothing although a message waits. The watcher reads the words worker by
 * worker; a reading counts if it equals an earlier one and every heartbeat moved (twice, before a cycle is believed)
 * after ALL words of the earlier one had been read.
 *
 * Claims: per-pair order; nothing lost or invented; an outbox never overflows; a reported end means that nothing is
 * in flight; workers of a reported cycle can never take a message again; and the watcher always comes to one of
 * the two (what would poll in vain is blocked here, so a missing report is an invalid end state).
 *
 * Mutants: 1 one reading instead of two  2 the mark of a heartbeat is taken with its worker's words, not after all
 *          3 stash not consulted: later messages overtake  4 a handler starts with room for one message less
 *          5 a flush goes on past a blocked message to the same worker  6 a message that finds the inbox full is dropped
 *          7 the heartbeat is stored before the counters  8 equal readings count though no heartbeat moved
 *          9 sent and received alone are compared: messages set aside or flushed are no news (needs STASH=2)
 *         10 one heartbeat confirms a cycle: its turn may have looked at the queues before the mark
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef WITNESS
#define WITNESS 99 /* claim that no cycle of this length is ever reported: to be refuted */
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef INBOX
#define INBOX 1
#endif
#ifndef OUTBOX
#define OUTBOX 2
#endif
#ifndef STASH
#define STASH 1
#endif
#ifndef FAN
#define FAN 2
#endif
#ifndef HOPS
#define HOPS 2
#endif
#ifndef ROOTS
#define ROOTS WORKERS
#endif
#ifndef ROUTE
#define ROUTE 0
#endif
#define NONE 0
/* Heartbeats a reading waits for. One shows that a run has ended (ENDS_ONLY); a cycle needs two, because the first may
 * belong to a turn that looked at the queues before the mark. */
#ifdef ENDS_ONLY
#define BEATS 1
#elif MUTANT == 10
#define BEATS 1
#else
#define BEATS 2
#endif

/* a message: bits 6-7 the other end, 4-5 hops left, 0-3 its number within the pair */
#define GONE 255
#define PEER(m) ((m) >> 6)
#define LEFT(m) (((m) >> 4) & 3)
#define NUMBER(m) ((m) & 15)
#define PACK(peer, left, number) (((peer) << 6) | ((left) << 4) | (number))
#define NEEDS(m) (LEFT(m) > 0 -> FAN : 0)

/* queues; entry 0 is the oldest */
byte inbox[WORKERS * INBOX], inbox_n[WORKERS];
byte stash[WORKERS * STASH], stash_n[WORKERS];
byte outbox[WORKERS * OUTBOX], outbox_n[WORKERS];
#define IN0(w) inbox[(w) * INBOX]
#define STASH0(w) stash[(w) * STASH]
#define OUT(w, i) outbox[(w) * OUTBOX + (i)]

/* WorkerStatus; `moved`: how often the heartbeat moved since the watcher's mark, 2 for more often */
byte sent[WORKERS], received[WORKERS], acts[WORKERS], waits_for[WORKERS];
byte moved[WORKERS];

byte stamped[WORKERS], handled[WORKERS], acted[WORKERS];
byte next_out[WORKERS * WORKERS], next_in[WORKERS * WORKERS];
bool stop;

/* The watcher: how far its reading is. */
#define SETTLED (4 * WORKERS)
byte phase, sum, seen_waits[WORKERS];
#if WORKERS == 3
#define RESTART phase = 0; sum = 0; seen_waits[0] = 0; seen_waits[1] = 0; seen_waits[2] = 0
#else
#define RESTART phase = 0; sum = 0; seen_waits[0] = 0; seen_waits[1] = 0
#endif

#define HAS_ROOM(w, m) (outbox_n[w] + NEEDS(m) <= OUTBOX)
#define STASH_READY(w) (stash_n[w] > 0 && HAS_ROOM(w, STASH0(w)))
#define INBOX_READY(w) (inbox_n[w] > 0 && ((stash_n[w] == 0 && HAS_ROOM(w, IN0(w))) || stash_n[w] < STASH))
#define CAN_TAKE(w) (STASH_READY(w) || INBOX_READY(w))
#define CAN_PUSH(w, i) (i < outbox_n[w] && OUT(w, i) != GONE && inbox_n[PEER(OUT(w, i))] < INBOX)
#if OUTBOX == 2
#define CAN_FLUSH(w) (CAN_PUSH(w, 0) || CAN_PUSH(w, 1))
#else
#define CAN_FLUSH(w) (CAN_PUSH(w, 0) || CAN_PUSH(w, 1) || CAN_PUSH(w, 2))
#endif
#define PENDING(w) (inbox_n[w] > 0 || stash_n[w] > 0)
#define WAITS(w) (outbox_n[w] > 0 && PENDING(w) && !CAN_TAKE(w) && !CAN_PUSH(w, 0) -> PEER(OUT(w, 0)) + 1 : NONE)
/* a turn would do, or say, something new */
#define NEWS(w) (sent[w] != stamped[w] || received[w] != handled[w] || acts[w] != acted[w] || WAITS(w) != waits_for[w])
#define DUE(w) (moved[w] < BEATS || CAN_TAKE(w) || CAN_FLUSH(w) || NEWS(w))

#if MUTANT == 9
#define ACT(w)
#else
#define ACT(w) acted[w]++
#endif
#define BEAT(w) moved[w] = (moved[w] < BEATS -> moved[w] + 1 : BEATS)

#define REMOVE_FIRST(queue, width, w, count) \
  k = 0; \
  do \
  :: k + 1 < count -> queue[w * width + k] = queue[w * width + k + 1]; k++ \
  :: else -> break \
  od; \
  count--; \
  queue[w * width + count] = 0; \
  k = 0

#if defined(FINE) || MUTANT == 5
#define FLUSH_STEPS
#define FLUSH_STEP atomic
#else
#define FLUSH_STEPS d_step
#define FLUSH_STEP
#endif

/* Outbox::flush: in order per receiver; a blocked message holds back those to the same worker only. */
inline flush(w) {
  FLUSH_STEPS {
  do
  :: at < outbox_n[w] ->
     FLUSH_STEP {
       m = OUT(w, at);
       if
       :: m != GONE && ((blocked & (1 << PEER(m))) == 0 || MUTANT == 5) ->
          if
          :: inbox_n[PEER(m)] < INBOX ->
             inbox[PEER(m) * INBOX + inbox_n[PEER(m)]] = PACK(w, LEFT(m), NUMBER(m));
             inbox_n[PEER(m)]++;
             OUT(w, at) = GONE;
             worked = true
          :: else ->
             blocked = blocked | (1 << PEER(m));
#if MUTANT == 6
             OUT(w, at) = GONE;
#endif
             if
             :: at == 0 -> waits = PEER(m) + 1
             :: else
             fi
          fi
       :: else
       fi;
       m = 0;
       if
       :: at == 0 && OUT(w, 0) == GONE -> REMOVE_FIRST(outbox, OUTBOX, w, outbox_n[w]); ACT(w)
       :: else -> at++
       fi
     }
  :: else -> break
  od;
  at = 0;
  blocked = 0
  }
}

#if ROUTE == 0 /* a handler sends all its messages to one worker, any */
#define TO(w) to
#if WORKERS == 3
#define CHOOSE(m) if :: to = 0 :: to = 1 :: to = 2 fi
#else
#define CHOOSE(m) if :: to = 0 :: to = 1 fi
#endif
#elif ROUTE == 1 /* to the next worker */
#define TO(w) ((w + 1) % WORKERS)
#define CHOOSE(m) skip
#else /* to all in turn, beginning with the next */
#define TO(w) ((w + at) % WORKERS)
#define CHOOSE(m) skip
#endif
/* Burst::handle and finish; takes `m` from the front of `queue`. */
#define HANDLE(w, queue, width, count) \
  m = queue[w * width]; \
  REMOVE_FIRST(queue, width, w, count); \
  assert(NUMBER(m) == next_in[PEER(m) * WORKERS + w]); \
  next_in[PEER(m) * WORKERS + w] = (NUMBER(m) + 1) & 15; \
  CHOOSE(m); \
  do \
  :: at < NEEDS(m) -> \
     at++; \
     assert(outbox_n[w] < OUTBOX); \
     OUT(w, outbox_n[w]) = PACK(TO(w), LEFT(m) - 1, next_out[w * WORKERS + TO(w)]); \
     next_out[w * WORKERS + TO(w)] = (next_out[w * WORKERS + TO(w)] + 1) & 15; \
     outbox_n[w]++; \
     stamped[w]++ \
  :: else -> break \
  od; \
  handled[w]++; \
  ACT(w); \
  worked = true; \
  waits = NONE; \
  m = 0; \
  at = 0; \
  to = 0

#if MUTANT == 3
#define MAY_HANDLE_ARRIVAL(w) HAS_ROOM(w, IN0(w))
#elif MUTANT == 4
#define MAY_HANDLE_ARRIVAL(w) (stash_n[w] == 0 && outbox_n[w] + NEEDS(IN0(w)) <= OUTBOX + 1)
#else
#define MAY_HANDLE_ARRIVAL(w) (stash_n[w] == 0 && HAS_ROOM(w, IN0(w)))
#endif

/* A reading whose counters change can no longer be confirmed (they only grow), so it starts afresh at once. */
#if MUTANT == 1
#define SPOILS(w) false
#else
#define SPOILS(w) (phase > w && (sent[w] != stamped[w] || received[w] != handled[w] || acts[w] != acted[w]))
#endif
#define STORE(w) \
  d_step { \
    if \
    :: SPOILS(w) || (phase == SETTLED && waits != waits_for[w]) -> RESTART \
    :: else \
    fi; \
    sent[w] = stamped[w]; \
    received[w] = handled[w]; \
    acts[w] = acted[w]; \
    waits_for[w] = waits \
  }
#if MUTANT == 7
#define PUBLISH(w) BEAT(w); STORE(w)
#else
#define PUBLISH(w) STORE(w); BEAT(w)
#endif

proctype worker(byte w) {
  byte m, at, to, k, blocked, waits;
  bool worked;
  do
  :: stop -> break
  :: !stop && DUE(w) ->
     worked = false;
     flush(w);
     /* Worker::next_message */
     atomic {
       if
       :: STASH_READY(w) -> HANDLE(w, stash, STASH, stash_n[w])
       :: !STASH_READY(w) && inbox_n[w] > 0 && MAY_HANDLE_ARRIVAL(w) -> HANDLE(w, inbox, INBOX, inbox_n[w])
       :: !STASH_READY(w) && inbox_n[w] > 0 && !MAY_HANDLE_ARRIVAL(w) ->
          if
          :: stash_n[w] < STASH ->
             stash[w * STASH + stash_n[w]] = IN0(w);
             stash_n[w]++;
             REMOVE_FIRST(inbox, INBOX, w, inbox_n[w]);
             ACT(w);
             worked = true
          :: else
          fi
       :: !STASH_READY(w) && inbox_n[w] == 0 ->
          if
          :: PENDING(w)
          :: else -> waits = NONE
          fi
       fi
     }
     if
     :: worked -> waits = NONE
     :: else
     fi;
     /* StatusReport::publish; a busy worker may be late */
     if
     :: PUBLISH(w)
     :: worked
     fi;
     waits = NONE
  od
}

/* Runtime::Impl::scan_counters and watch: readings that follow each other for ever. */
active proctype watcher() {
  byte w, at, steps, length;
  do
  :: stop -> break
  :: d_step {
       !stop && phase < WORKERS ->
       seen_waits[phase] = waits_for[phase];
       sum = sum + sent[phase] - received[phase];
#if MUTANT == 2
       moved[phase] = 0;
#endif
       phase++;
       if
#if MUTANT == 1
       :: phase == WORKERS -> phase = 3 * WORKERS
#elif MUTANT == 2
       :: phase == WORKERS -> phase = 2 * WORKERS
#endif
       :: else
       fi
     }
  :: d_step { /* the marks: only now, after all words were read */
       !stop && phase >= WORKERS && phase < 2 * WORKERS ->
       moved[phase - WORKERS] = 0;
       phase++
     }
  :: d_step {
       !stop && phase >= 2 * WORKERS && phase < 3 * WORKERS &&
         (moved[phase - 2 * WORKERS] >= BEATS || MUTANT == 8) ->
       if
       :: waits_for[phase - 2 * WORKERS] == seen_waits[phase - 2 * WORKERS] -> phase++
       :: else -> RESTART
       fi
     }
  :: atomic {
       !stop && phase == 3 * WORKERS ->
       if
       :: sum == 0 ->
          do
          :: w < WORKERS -> assert(inbox_n[w] == 0 && stash_n[w] == 0 && outbox_n[w] == 0); w++
          :: else -> break
          od;
          stop = true
#ifdef ENDS_ONLY
       :: else -> RESTART
#else
       :: else ->
          /* a cycle in the wait-for graph? If so `w` is on it and `length` long it is. */
          do
          :: w < WORKERS && length == 0 ->
             at = w;
             steps = 0;
             do
             :: steps < WORKERS && seen_waits[at] != NONE && length == 0 ->
                at = seen_waits[at] - 1;
                steps++;
                if
                :: at == w -> length = steps
                :: else
                fi
             :: else -> break
             od;
             if
             :: length == 0 -> w++
             :: else
             fi
          :: else -> break
          od;
          if
          :: length > 0 ->
             assert(length != WITNESS);
             do
             :: length > 0 ->
                assert(!CAN_TAKE(w) && !CAN_PUSH(w, 0));
                w = seen_waits[w] - 1;
                length--
             :: else -> break
             od;
             stop = true
#if MUTANT == 1
          :: else -> RESTART
#else
          :: else -> phase = SETTLED; sum = 0 /* until a word changes: see STORE */
#endif
          fi
#endif
       fi;
       w = 0;
       at = 0;
       steps = 0
     }
  od
}

/* Each of the first ROOTS workers begins with one message. */
init {
  byte w;
  atomic {
    do
    :: w < WORKERS ->
       if
       :: w < ROOTS ->
          inbox[w * INBOX] = PACK(w, HOPS, 0);
          inbox_n[w] = 1;
          next_out[w * WORKERS + w] = 1;
          stamped[w] = 1;
          sent[w] = 1
       :: else
       fi;
       run worker(w);
       w++
    :: else -> break
    od;
    w = 0
  }
}
