/* Supervision: a worker with CHILDREN children, their supervisor on another worker, and a control lane each way.
 *
 * Each child is sent MESSAGES numbered messages through the worker's one inbox. A handler may fail at any attempt.
 * The worker then suspends the child at once, keeps the failed message first in the child's stash, sets later ones
 * aside behind it, and sends Failed(child, number of the failure). The supervisor answers Restart, or RestartAll
 * (one for all), or, after more than INTENSITY restarts within the window, Stop of that child or Escalate to its own
 * supervisor, which stops all. The worker restores the state and retries the failed message first. RestartAll
 * restores the siblings too, but a sibling that waits for an answer of its own goes on waiting: so a child has at most
 * one failure unanswered, and a lane of one place per child is never full. After POISON failures of one message the message is dead-lettered and the child goes on with the next.
 *
 * Claims: per child, messages end (handled or dead) once and in order; a handler never runs while its child is suspended or stopped;
 * a restart restores the state saved last; no message fails more than POISON times; every failure is answered, and at the end
 * sent = delivered + dead with nothing in flight and nobody suspended (no invalid end state).
 *
 * Mutants: 1 a suspended child goes on with later messages  2 the failed message goes behind the later ones
 *          3 Failed is dropped when the lane is full  4 a poisoned message stays in the stash
 *          5 RestartAll empties the siblings' stashes  6 the attempts are forgotten at a restart
 *          7 RestartAll resumes siblings whose own failure is unanswered (the lane overflows)  8 the failed handler's changes stay in the state
 *          9 a stopped child's set aside messages are forgotten, not dead-lettered
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef CHILDREN
#define CHILDREN 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef INTENSITY
#define INTENSITY 2
#endif
#ifndef WINDOWS
#define WINDOWS 1 /* how often the window of restarts may pass */
#endif
#ifndef POISON
#define POISON 2
#endif
#ifndef INBOX
#define INBOX 1
#endif
#ifndef STASH
#define STASH 1 /* per child, besides the failed message */
#endif

#define RESTART 0
#define RESTART_ALL 1
#define STOP 2
#define STOP_ALL 3 /* the answer to an escalation */

#if MUTANT == 3
#define LANE 1
#else
#define LANE CHILDREN /* a child has at most one failure unanswered */
#endif

chan inbox = [INBOX] of { byte, byte };           /* child, number */
chan stash[CHILDREN] = [STASH + 1] of { byte };   /* number */
chan failed = [LANE] of { byte, byte };           /* child, failure */
chan answer = [CHILDREN + 1] of { byte, byte, byte }; /* kind, child, failure */

bool suspended[CHILDREN], stopped[CHILDREN];
byte failures[CHILDREN]; /* number of the newest */
byte attempts[CHILDREN]; /* of the message that is first in the stash */
byte state[CHILDREN], checkpoint[CHILDREN];

byte sent, delivered, dead, next[CHILDREN]; /* next: the message whose turn it is */
/* ghosts: a failure without its answer; how often the message whose turn it is has failed */
bool asked[CHILDREN];
byte failed_before[CHILDREN];

active proctype sender() {
  byte child, number;
  do
  :: number < MESSAGES ->
     child = 0;
     do
     :: child < CHILDREN -> atomic { inbox!child, number; sent++; child++ }
     :: else -> break
     od;
     number++
  :: else -> break
  od
}

/* The message `n` of child `c` has ended, well or not. */
inline ended(c, n) {
  assert(n == next[c]);
  next[c]++;
  failed_before[c] = 0
}

/* One attempt; `first` tells whether the message is first in the stash. */
inline attempt(c, n, first) {
  assert(!stopped[c]);
  assert(!suspended[c]);
  assert(n == next[c]);
  assert(state[c] == checkpoint[c]);
  if
  :: /* well: the state after it is the one to restore */
     state[c]++;
     checkpoint[c] = state[c];
     delivered++;
     ended(c, n);
     attempts[c] = 0;
     if
     :: first -> stash[c]?n
     :: else
     fi
  :: /* it fails, half way */
     state[c]++;
     attempts[c]++;
     failures[c]++;
     failed_before[c]++;
     assert(failed_before[c] <= POISON);
     asked[c] = true;
     suspended[c] = true;
     if
     :: !first -> stash[c]!n
#if MUTANT == 2
     :: first && len(stash[c]) > 1 -> stash[c]?n; stash[c]!n
#endif
     :: else
     fi;
#if MUTANT == 3
     if
     :: nfull(failed) -> failed!c, failures[c]
     :: full(failed)
     fi
#else
     assert(nfull(failed));
     failed!c, failures[c]
#endif
  fi
}

inline restore(c) {
#if MUTANT != 8
  state[c] = checkpoint[c];
#endif
#if MUTANT == 6
  attempts[c] = 0;
#endif
  suspended[c] = false;
  if
  :: attempts[c] == POISON ->
#if MUTANT == 4
     stash[c]?<n>;
#else
     stash[c]?n;
#endif
     dead++;
     ended(c, n);
     attempts[c] = 0
  :: else
  fi
}

inline stop(c) {
  suspended[c] = false;
  stopped[c] = true;
  do
  :: nempty(stash[c]) ->
     stash[c]?n;
#if MUTANT != 9
     dead++;
     ended(c, n)
#endif
  :: empty(stash[c]) -> break
  od
}

/* A message for a child whose stash is full stays in the inbox; only answers are taken then. */
#define TAKES(c) (stopped[c] || len(stash[c]) <= STASH)

inline arrival(c) {
  inbox?_, n;
  if
  :: stopped[c] -> dead++; ended(c, n)
#if MUTANT == 1
  :: !stopped[c] && suspended[c] -> suspended[c] = false; attempt(c, n, false)
  :: !stopped[c] && !suspended[c] && nempty(stash[c]) -> stash[c]!n
#else
  :: !stopped[c] && (suspended[c] || nempty(stash[c])) -> stash[c]!n
#endif
  :: !stopped[c] && !suspended[c] && empty(stash[c]) -> attempt(c, n, false)
  fi;
  n = 0
}

active proctype worker() {
  byte c, n, kind, failure;
end:
  do
  :: atomic { /* control first; data cannot starve it, whatever the order */
       answer?kind, c, failure;
       assert(stopped[c] || (suspended[c] && asked[c] && failure == failures[c]) || MUTANT == 7);
       asked[c] = false;
       if
       :: stopped[c]
       :: !stopped[c] && kind == RESTART -> restore(c)
       :: !stopped[c] && kind == STOP -> stop(c)
       :: !stopped[c] && kind == STOP_ALL ->
          c = 0;
          do
          :: c < CHILDREN ->
             asked[c] = false;
             if
             :: !stopped[c] -> stop(c)
             :: else
             fi;
             c++
          :: else -> break
          od
       :: !stopped[c] && kind == RESTART_ALL ->
          restore(c);
          c = 0;
          do
          :: c < CHILDREN ->
             if
             :: stopped[c]
#if MUTANT == 7
             :: !stopped[c] && suspended[c] -> restore(c)
#else
             :: !stopped[c] && suspended[c] -> state[c] = checkpoint[c]
#endif
             :: !stopped[c] && !suspended[c] ->
                state[c] = checkpoint[c];
#if MUTANT == 5
                do
                :: nempty(stash[c]) -> stash[c]?n
                :: empty(stash[c]) -> break
                od
#endif
             fi;
             c++
          :: else -> break
          od
       fi;
       c = 0;
       n = 0;
       kind = 0;
       failure = 0
     }
  :: atomic { nempty(stash[0]) && !suspended[0] -> stash[0]?<n>; attempt(0, n, true); n = 0 }
#if CHILDREN > 1
  :: atomic { nempty(stash[1]) && !suspended[1] -> stash[1]?<n>; attempt(1, n, true); n = 0 }
#endif
  :: atomic { inbox?[0, n] && TAKES(0) -> arrival(0) }
#if CHILDREN > 1
  :: atomic { inbox?[1, n] && TAKES(1) -> arrival(1) }
#endif
  od
}

/* The supervisor's actor. */
active proctype supervisor() {
  byte c, failure, restarts, windows;
end:
  do
  :: atomic {
       failed?c, failure;
       if
       :: restarts < INTENSITY ->
          restarts++;
          if
          :: answer!RESTART, c, failure
          :: answer!RESTART_ALL, c, failure
          fi
       :: else ->
          if
          :: answer!STOP, c, failure
          :: answer!STOP_ALL, c, failure /* after Escalate */
          fi
       fi;
       c = 0;
       failure = 0
     }
  :: atomic { windows < WINDOWS && restarts > 0 -> windows++; restarts = 0 }
  od
}

#if CHILDREN > 1
#define QUIET (!suspended[0] && !asked[0] && !suspended[1] && !asked[1])
#else
#define QUIET (!suspended[0] && !asked[0])
#endif

/* Ends only if all that is claimed of the end is true. */
active proctype auditor() {
  sent == CHILDREN * MESSAGES && sent == delivered + dead && QUIET;
  assert(empty(inbox) && empty(stash[0]) && next[0] == MESSAGES)
}
