/* The cut: Lai-Yang colouring with message counting (kernels/worker.hpp, kernels/dispatcher.hpp,
 * runtime/src/host_lane.cpp, checkpoint/src/cut_ledger.cpp).
 *
 * The host sends HOST_MESSAGES through the H2K ring (of one lane) to any worker; handlers send SENDS more to any worker, through
 * outbox and inbox; a message may be set aside in the stash before it is handled. At any time the host begins the one
 * cut: it takes the colour, reads its counter and publishes the word with the ring's position as one step (the lane's
 * lock). The dispatcher relays the word, records what waits in the ring below that position if it has room for
 * records, and forwards what it recorded in the new colour. Workers take the cut at the word, or before they handle a
 * newer message; record older messages when they handle them, or while they wait in inbox, stash or outbox (the
 * background sweep, any message in any order), which recolours them; and copy their one save unit before the next
 * handler or in the background.
 *
 * Claims, when the ledger is complete: the copies are the states at the cuts; no message was handled before its
 * receiver's cut and stamped after its sender's; those stamped before and not handled before are recorded, each once,
 * and no others; nothing is recorded afterwards. Every run ends with a complete ledger and every message handled
 * (no invalid end state).
 *
 * Mutants: 1 a message that crossed is handled without a record  2 the cut is taken after the newer message's handler
 *          3 received counts when a message is set aside  4 the sweep does not recolour
 *          5 the unit is copied after the handler  6 the dispatcher forwards recorded messages in the old colour
 *          7 sent counts when the inbox has it  8 the sweep of the outbox takes entries that already left
 *          9 the host reads its counter after it published the word, not in the same step
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef HOST_MESSAGES
#define HOST_MESSAGES 2
#endif
#ifndef SENDS
#define SENDS 1
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#define MESSAGES (HOST_MESSAGES + SENDS)

/* places; each message is in one */
#define UNBORN 0
#define RING 1
#define DONE 2
#define OUTBOX 3 /* + worker */
#define INBOX (OUTBOX + WORKERS)
#define STASH (INBOX + WORKERS)

chan ring = [HOST_MESSAGES] of { byte };
chan outbox[WORKERS] = [SENDS] of { byte };
chan inbox[WORKERS] = [MESSAGES] of { byte };
chan stash[WORKERS] = [MESSAGES] of { byte };
byte place[MESSAGES], to[MESSAGES], from[MESSAGES];
bit colour[MESSAGES];

/* control words */
bit host_epoch, word, epoch[WORKERS];
byte cut_position; /* ring messages with a smaller number were sent before the cut */

/* counters: host_sent and handler_sent also number the messages */
byte host_sent, handler_sent, done, sent[WORKERS], received[WORKERS];
byte state[WORKERS]; /* of the one save unit: how many messages it has seen */
bool saved[WORKERS];

/* the ledger; in_flight counts modulo 256 until all cut records are here */
byte cuts, copies, records, in_flight;
bool complete;

/* ghosts */
bit sent_after[MESSAGES], handled_before[MESSAGES];
byte recorded[MESSAGES], state_at_cut[WORKERS];

inline record(m) {
  assert(!complete);
  recorded[m]++;
  assert(recorded[m] == 1);
  records++
}

inline take_cut(w) {
  epoch[w] = 1;
  cuts++;
  in_flight = in_flight + sent[w] - received[w];
  state_at_cut[w] = state[w]
}

inline save(w) {
  if
  :: epoch[w] == 1 && !saved[w] ->
     assert(!complete && state[w] == state_at_cut[w]);
     saved[w] = true;
     copies++
  :: else
  fi
}

#if WORKERS == 3
#define ANY_WORKER(x) if :: x = 0 :: x = 1 :: x = 2 fi
#else
#define ANY_WORKER(x) if :: x = 0 :: x = 1 fi
#endif

/* HostLane::send, and begin_cut with publish_cut, each under the lane's lock. */
active proctype host() {
  do
  :: atomic {
       host_sent < HOST_MESSAGES ->
       ANY_WORKER(to[host_sent]);
       from[host_sent] = WORKERS;
       colour[host_sent] = host_epoch;
       sent_after[host_sent] = host_epoch;
       place[host_sent] = RING;
       ring!host_sent;
       host_sent++
     }
#if MUTANT == 9
  :: host_epoch == 0 ->
     atomic { host_epoch = 1; cut_position = host_sent };
     if
     :: atomic {
          host_sent < HOST_MESSAGES -> /* another producer */
          ANY_WORKER(to[host_sent]);
          from[host_sent] = WORKERS;
          colour[host_sent] = 1;
          sent_after[host_sent] = 1;
          place[host_sent] = RING;
          ring!host_sent;
          host_sent++
        }
     :: true
     fi;
     in_flight = in_flight + host_sent
#else
  :: atomic {
       host_epoch == 0 ->
       host_epoch = 1;
       in_flight = in_flight + host_sent;
       cut_position = host_sent
     }
#endif
  :: host_sent == HOST_MESSAGES && host_epoch == 1 -> break
  od
}

/* Dispatcher::turn: relay_control, record_waiting, forward. */
active proctype dispatcher() {
  byte m, forwarded, recorded_to;
  do
  :: d_step {
       host_epoch == 1 && word == 0 ->
       word = 1;
       recorded_to = forwarded
     }
  :: d_step {
       word == 1 && recorded_to < cut_position ->
       record(recorded_to);
       recorded_to++
     }
  :: d_step {
       nempty(ring) ->
       ring?m;
       if
       :: forwarded < recorded_to && MUTANT != 6 -> colour[m] = 1
       :: else
       fi;
       forwarded++;
       if
       :: word == 1 && recorded_to < forwarded -> recorded_to = forwarded
       :: else
       fi;
       place[m] = INBOX + to[m];
       inbox[to[m]]!m;
       m = 0
     }
  :: forwarded == HOST_MESSAGES && word == 1 -> break
  od
}

/* Worker::prepare and handle: cut, record, copy, run the handler, count. */
inline handle(w) {
#if MUTANT != 2
  if
  :: colour[m] == 1 && epoch[w] == 0 -> take_cut(w)
  :: else
  fi;
#endif
  if
  :: colour[m] == 0 && epoch[w] == 1 && MUTANT != 1 -> record(m)
  :: else
  fi;
#if MUTANT != 5
  save(w);
#endif
  handled_before[m] = 1 - epoch[w];
  state[w]++;
  done++;
  if
  :: handler_sent < SENDS ->
     n = HOST_MESSAGES + handler_sent;
     handler_sent++;
     ANY_WORKER(to[n]);
     from[n] = w;
     colour[n] = epoch[w];
     sent_after[n] = epoch[w];
     place[n] = OUTBOX + w;
     outbox[w]!n;
#if MUTANT != 7
     sent[w]++;
#endif
     n = 0
  :: true
  fi;
#if MUTANT == 3
  if
  :: place[m] != STASH + w -> received[w]++
  :: else
  fi;
#else
  received[w]++;
#endif
  place[m] = DONE;
#if MUTANT == 5
  save(w);
#endif
#if MUTANT == 2
  if
  :: colour[m] == 1 && epoch[w] == 0 -> take_cut(w)
  :: else
  fi;
#endif
  m = 0
}

#define WAITS_HERE(m, w) (place[m] == INBOX + w || place[m] == STASH + w || place[m] == OUTBOX + w)
#if MUTANT == 8
#define SWEEP(m, w) (WAITS_HERE(m, w) || (from[m] == w && place[m] == INBOX + to[m]))
#else
#define SWEEP(m, w) WAITS_HERE(m, w)
#endif

#if MUTANT == 4
#define RECOLOUR(i, w)
#else
#define RECOLOUR(i, w) \
    if \
    :: WAITS_HERE(i, w) -> colour[i] = 1 \
    :: else \
    fi
#endif
#define SWEEP_ONE(i) \
  d_step { \
    epoch[w] == 1 && colour[i] == 0 && SWEEP(i, w) -> \
    record(i); \
    RECOLOUR(i, w) \
  }

proctype worker(byte w) {
  byte m, n;
end:
  do
  :: d_step { word == 1 && epoch[w] == 0 -> take_cut(w) }
  :: atomic { nempty(stash[w]) -> stash[w]?m; handle(w) }
  :: atomic { empty(stash[w]) && nempty(inbox[w]) -> inbox[w]?m; handle(w) }
  :: d_step {
       nempty(inbox[w]) ->
       inbox[w]?m;
       stash[w]!m;
       place[m] = STASH + w;
#if MUTANT == 3
       received[w]++;
#endif
       m = 0
     }
  :: d_step { /* Outbox::flush */
       nempty(outbox[w]) ->
       outbox[w]?m;
       place[m] = INBOX + to[m];
       inbox[to[m]]!m;
#if MUTANT == 7
       sent[w]++;
#endif
       m = 0
     }
  :: d_step { epoch[w] == 1 && !saved[w] -> save(w) }
  /* the sweep */
  :: SWEEP_ONE(0)
  :: SWEEP_ONE(1)
  :: SWEEP_ONE(2)
#if MESSAGES > 3
  :: SWEEP_ONE(3)
#endif
#if MESSAGES > 4
  :: SWEEP_ONE(4)
#endif
  od
}

/* CutLedger::complete, and what must then be true. */
active proctype ledger() {
  byte i;
  d_step {
    cuts == WORKERS && copies == WORKERS && records == in_flight && host_epoch == 1 ->
    complete = true;
    do
    :: i < MESSAGES ->
       assert(!(sent_after[i] && handled_before[i]));
       if
       :: place[i] != UNBORN && !sent_after[i] && !handled_before[i] -> assert(recorded[i] == 1)
       :: else -> assert(recorded[i] == 0)
       fi;
       i++
    :: else -> break
    od
  }
  done == host_sent + handler_sent && host_sent == HOST_MESSAGES
}

init {
  atomic {
    run worker(0);
    run worker(1)
#if WORKERS == 3
    ; run worker(2)
#endif
  }
}
