// The service thread: outputs, feed, checkpoints, faults, quiescence.
#include <ringkernel/runtime/wait.hpp>

#include <algorithm>
#include <cstdio>

#include "runtime_impl.hpp"

namespace rk {

std::vector<std::byte> encode_host_state(std::uint32_t source_sequence, std::uint32_t correlation,
                                         const std::vector<std::byte>& letters,
                                         const std::vector<std::byte>& app);

namespace {

constexpr std::uint32_t kOutputsPerTurn = 256;
constexpr auto kFaultInterval = std::chrono::milliseconds(1);
/// A checkpoint by time, or a move by load, is late by at most this share of its interval.
constexpr int kLooksPerInterval = 8;

}  // namespace

void Runtime::Impl::take_letter(const MessageView& message) {
  DeadLetter letter = letter_of(message);
  if (letter.from == kHostId) {  // perhaps a question, whose answer this is
    const std::string what =
        "actor " + std::to_string(letter.to.index()) + ": " + std::string(to_string(letter.reason));
    const bool is_spawn =
        letter.is_command && letter.tag == static_cast<std::uint8_t>(CommandTag::spawn);
    asks.settle(message.envelope().correlation,
                is_spawn ? fail(ErrorCode::no_space,
                                "no place is free for the new actor; reserve more before start()")
                         : fail(ErrorCode::not_found, what));
  }
  if (letter_callback) letter_callback(letter);
  letters.add(std::move(letter));
}

bool Runtime::Impl::can_deliver(const MessageView& message) const {
  const MessageHeader& header = message.header();
  if ((header.flags & kFlagDead) != 0) return true;
  const auto& queues = subscribers[header.tag];
  return std::all_of(queues.begin(), queues.end(), [](const auto& q) { return q->has_room(); });
}

void Runtime::Impl::deliver(const MessageView& message) {
  const MessageHeader& header = message.header();
  if ((header.flags & kFlagDead) != 0) return take_letter(message);
  if ((header.flags & kFlagTrailer) != 0 && message.route().message_kind() == MessageKind::reply) {
    const std::size_t bytes = message.slot_bytes - sizeof(MessageHeader) - sizeof(Envelope);
    std::vector<std::byte> answer(message.payload(), message.payload() + bytes);
    if (asks.settle(message.envelope().correlation, std::move(answer))) return;
    DeadLetter late = letter_of(message);
    late.reason = DeadReason::expired;
    if (letter_callback) letter_callback(late);
    return letters.add(std::move(late));
  }
  const OutputInfo info{header.src, header.source_sequence, header.hlc};
  for (const auto& queue : subscribers[header.tag]) {
    queue->push({info, {message.payload(), message.slot + message.slot_bytes}});
  }
  if (const OutputCallback& callback = outputs[header.tag]) {
    callback(message.payload(), info);
  } else if (subscribers[header.tag].empty()) {
    const std::lock_guard lock(mutex);
    if (totals.dead++ == 0) {
      std::fprintf(
          stderr,
          "ringkernel: an actor sends outputs with tag %u, but nobody listens (on_output)\n",
          header.tag);
    }
  }
}

void Runtime::Impl::serve() {
  try {
    serve_until_stopped();
  } catch (const std::exception& error) {
    report_failure(Error{ErrorCode::internal, 0,
                         std::string("a callback or the service thread threw: ") + error.what()});
  }
  close_moves();
}

void Runtime::Impl::serve_until_stopped() {
  {
    const std::lock_guard lock(lane->mutex);
    for (std::vector<std::byte>& output : restored_outputs) {
      deliver(MessageView{output.data(), static_cast<std::uint32_t>(output.size())});
    }
    restored_outputs.clear();
  }
  progress_time = Clock::now();
  idle.reset(progress_time);
  auto next_watch = Clock::now();
  for (;;) {
    const bool is_asked = idle.take_ring();  // first: what is asked for later rings again
    if (load_acquire<Scope::system>(service_stop) != 0) return;  // pairs with stop()'s release
    const bool worked = pump();
    if (directory) checkpoint_turn();
    if (options.rebalance.enabled) move_turn();
    if (!worked || Clock::now() >= next_watch) {
      watch();
      next_watch = Clock::now() + kFaultInterval;
    }
    worked ? idle.reset(Clock::now()) : rest(is_asked);
  }
}

/// Pauses: shortly while something is on its way that cannot ring, longer and longer otherwise.
/// While more was sent than received the run is certainly not over, however long nothing comes
/// here.
void Runtime::Impl::rest(bool is_asked) {
  const auto now = Clock::now();
  // relaxed: who begins to wait rings, and that was taken
  if (is_asked || is_expecting || may_be_over || cut_in_work ||
      (options.rebalance.enabled && has_moves()) || steppers.load(std::memory_order_relaxed) != 0)
    idle.reset(now);
  auto limit = std::chrono::nanoseconds::max();
  for (const std::chrono::nanoseconds interval : {policy.interval(), options.rebalance.every}) {
    if (interval.count() > 0) limit = std::min(limit, interval / kLooksPerInterval);
  }
  idle.wait(idle.pause(now, limit));
}

bool Runtime::Impl::pump() {
  const std::lock_guard lock(lane->mutex);
  is_expecting = false;
  bool worked = lane->drain_outputs(
                    kOutputsPerTurn,
                    [this](std::uint32_t worker, std::span<const std::byte> message) {
                      if (cut_open) drain->add_output(worker, message);
                    },
                    [this](const MessageView& message) { deliver(message); },
                    [this](const MessageView& message) {
                      const bool can = can_deliver(message);
                      is_expecting |= !can;  // whoever makes room does not ring
                      return can;
                    }) != 0;
  if (feed_state == FeedState::more) {
    const std::uint64_t before = lane->sent();
    LaneFeed sender(*lane);
    feed_state = feed(sender);
    worked |= lane->sent() != before;
    is_expecting |= !lane->has_room();
  }
  is_expecting |= !asks.empty();
  return worked;
}

void Runtime::Impl::checkpoint_turn() {
  settle_acknowledgements();
  const auto now = Clock::now();
  std::optional<Error> refused;  // a broken state must not become the newest checkpoint
  std::uint64_t wanted = 0;
  {
    const std::lock_guard lock(mutex);
    // queues that wait for each other hold a whole state: restored with larger ones, it goes on
    if (failure && failure->code != ErrorCode::deadlock) refused = failure;
    wanted = checkpoint_wanted > checkpoint_begun ? checkpoint_wanted : 0;
  }
  if (load_relaxed<Scope::system>(closing) != 0 && !refused) {  // relaxed: a mere wish
    refused = Error{ErrorCode::closed, 0, "the runtime is stopping"};
    if (!cut_in_work && wanted == 0) return;
  }
  if (!cut_in_work) {
    const bool signalled =
        load_relaxed<Scope::system>(checkpoint_request) != 0;  // relaxed: a mere wish
    const checkpoint::Progress here = progress();
    if (wanted == 0 && !signalled && !policy.due(here)) return;
    store_relaxed<Scope::system>(checkpoint_request, 0u);
    checkpoint_covers = wanted;
    policy.begun(here);
    checkpoint_begun = std::max(checkpoint_begun, wanted);
    cut_in_work = true;
    if (refused) return finish_checkpoint(unexpected(*refused));
    if (auto begun = begin_checkpoint(); !begun) finish_checkpoint(unexpected(begun.error()));
    return;
  }
  if (cut_open && drain->streamed()) close_cut();
  if (cut_open && refused && refused->code != ErrorCode::closed) {
    drain->abandon(*refused);
    close_cut();
  }
  if (cut_open && now - cut_opened > options.checkpoint.deadline) {
    drain->abandon(
        Error{ErrorCode::deadline_exceeded, 0,
              "the cut did not complete within its deadline: " + drain->describe_missing()});
    close_cut();
  }
  if (auto outcome = drain->take_outcome()) finish_checkpoint(std::move(*outcome));
}

/// The durable checkpoint that the next one can be an increment of; 0: it has to be a full one.
std::uint32_t Runtime::Impl::choose_parent() {
  if (durable_epoch == 0 || increments + 1 >= options.checkpoint.full_every) return 0;
  // it may have been removed or damaged from outside
  auto parent = checkpoint::examine_checkpoint(directory->storage(),
                                               {directory->prefix(), durable_epoch, run_id},
                                               checkpoint::Depth::manifest);
  return parent && parent->state == checkpoint::CheckpointState::valid ? durable_epoch : 0;
}

Result<void> Runtime::Impl::begin_checkpoint() {
  constexpr std::uint32_t kHalfTheColours = 0x8000;
  cut_opened = Clock::now();
  RK_TRY_ASSIGN(const std::uint64_t next, directory->next_epoch());
  const std::uint32_t parent = choose_parent();
  checkpoint::HostCut cut;
  {
    const std::lock_guard lock(lane->mutex);
    cut.epoch = std::max(static_cast<std::uint32_t>(next), lane->epoch() + 1);
    if (cut.epoch - lane->epoch() >= kHalfTheColours) {
      return fail(ErrorCode::incompatible, "the checkpoint directory's epochs jumped ahead to " +
                                               std::to_string(next) + " while this run is at " +
                                               std::to_string(lane->epoch()) +
                                               ": something else writes there; restart the run");
    }
    if (save_app) {
      RK_TRY_ASSIGN(cut.app_state, save_app());
    }
    cut.app_state =
        encode_host_state(lane->source_sequence(), asks.newest(), letters.encode(), cut.app_state);
    cut.created_at_us = wall_clock_us();
    cut.channels = lane->begin_cut(cut.epoch);
    cut.hlc = lane->hlc();
    cut.app = options.checkpoint.identity;
    cut.parent = parent;
    lane->publish_cut(parent);
  }
  // outside of the lock: it makes a directory; the drain keeps records that come before
  cut_open = true;
  drain->open(std::move(cut));
  return {};
}

void Runtime::Impl::close_cut() {
  const std::lock_guard lock(lane->mutex);
  lane->close_cut(lane->epoch());
  cut_open = false;
}

void Runtime::Impl::finish_checkpoint(Result<checkpoint::CutReport> outcome) {
  if (cut_open) close_cut();
  cut_in_work = false;
  if (!outcome) {
    judge_checkpoint(unexpected(outcome.error()));
    return report_checkpoint(unexpected(outcome.error()), checkpoint_covers);
  }
  const checkpoint::CutReport& report = *outcome;
  durable_epoch = report.epoch;
  increments = report.parent == 0 ? 0 : increments + 1;
  CheckpointCost cost{report.epoch,        report.parent,
                      report.directory,    report.slots,
                      report.messages,     report.drained_bytes,
                      report.file_bytes,   report.stream_time,
                      report.durable_time, to_hex(report.content_digest)};
  judge_checkpoint(cost);
  auto retained =
      tiers
          ? tiers->retain(report.epoch)
          : directory->retain(
                {.keep = options.checkpoint.keep, .run_id = run_id, .trusted_epoch = report.epoch});
  if (!retained) {
    std::fprintf(stderr, "ringkernel: old checkpoints stay: %s\n",
                 retained.error().message.c_str());
  } else {
    for (const Error& error : retained->failures) {
      std::fprintf(stderr, "ringkernel: an old checkpoint stays: %s\n", error.message.c_str());
    }
  }
  await_acknowledgement(std::move(cost));
}

checkpoint::Progress Runtime::Impl::progress() const {
  checkpoint::Progress progress{.now = Clock::now().time_since_epoch()};
  if (steps && options.checkpoint.every_steps != 0) progress.steps = steps();
  const std::lock_guard lock(mutex);
  progress.messages = totals.received;
  return progress;
}

/// Tells the policy how a checkpoint ended, and the user what follows from it.
void Runtime::Impl::judge_checkpoint(const Result<CheckpointCost>& result) {
  const checkpoint::Progress here = progress();
  std::string next;
  if (result) {
    const auto said = policy.succeeded(here, result->durable_time);
    if (said) std::fprintf(stderr, "ringkernel: %s\n", said->c_str());
  } else {
    bool is_over = load_relaxed<Scope::system>(closing) != 0;  // relaxed: a mere wish
    // whoever called checkpoint_now() gets the error and decides
    is_over |= checkpoint_covers != 0 && !policy.has_triggers();
    {
      const std::lock_guard lock(mutex);
      is_over |= failure.has_value();
    }
    if (is_over) {
      policy.dropped();
    } else {
      const auto delay = std::chrono::duration_cast<std::chrono::milliseconds>(policy.failed(here));
      next = "; next try in " + std::to_string(delay.count()) + " ms";
    }
    std::fprintf(stderr, "ringkernel: checkpoint failed: %s%s\n", result.error().message.c_str(),
                 next.c_str());
  }
  const std::lock_guard lock(mutex);
  totals.checkpoint_backoff = policy.backoff();
  totals.checkpoint_interval = policy.interval();
}

void Runtime::Impl::report_failure(Error error) {
  const std::lock_guard lock(mutex);
  if (!failure) failure = std::move(error);
  changed.notify_all();
}

std::optional<Error> Runtime::Impl::find_fault() const {
  for (std::uint32_t w = 0; w < workers; ++w) {
    WorkerStatus& status = *system.workers[w].status;
    // acquire: pairs with the worker's release; the words that explain it were stored before
    const auto fault = static_cast<Fault>(load_acquire<Scope::system>(status.fault));
    if (fault == Fault::none) continue;
    const std::uint32_t code = load_relaxed<Scope::system>(status.fault_code);
    std::string what;
    switch (fault) {
      case Fault::failed: what = "called ctx.fail(" + std::to_string(code) + ")"; break;
      case Fault::too_many_sends:
        what = "sent more messages than its type declares; raise max_sends";
        break;
      case Fault::too_many_blocks:
        what = "took more blocks than its type declares; raise max_blocks";
        break;
      case Fault::block_too_large:
        what = "asked for a block of " + std::to_string(code) +
               " bytes; raise Capacities::slab_block_bytes";
        break;
      case Fault::too_many_outputs:
        what = "sent more outputs than its type declares; raise max_host_sends";
        break;
      case Fault::too_many_timers:
        what = "set more timers or asks than its type declares; raise max_timers";
        break;
      case Fault::too_many_links:
        what = "has more links and monitors than its type declares; raise max_links";
        break;
      case Fault::message_too_large:
        what = "sent an untyped message of " + std::to_string(code) +
               " bytes, more than this program's messages have room for";
        break;
      case Fault::block_not_owned:
        what = "sent a block twice, or one that came with a message; copy it into its own";
        break;
      default: what = "is not handled by its receiver"; break;
    }
    return Error{
        ErrorCode::handler_failed, static_cast<int>(code),
        "worker " + std::to_string(w) + ", actor " +
            std::to_string(ActorId{load_relaxed<Scope::system>(status.fault_actor)}.index()) +
            ", message tag " + std::to_string(load_relaxed<Scope::system>(status.fault_tag)) +
            ": " + what};
  }
  return std::nullopt;
}

/// Reads all counters. True if they have stood still since an earlier call, which every worker
/// confirmed by publishing again after it: then all of them held at the same instant. Workers
/// publish late, so one reading alone can balance by chance.
bool Runtime::Impl::scan_counters() {
  bool still = marks.size() == workers + 1;
  marks.resize(workers + 1);
  marked_at.resize(workers);
  beats.resize(workers);
  still_since.resize(workers);
  std::vector<Mark> now(workers + 1);
  for (std::uint32_t w = 0; w < workers; ++w) {
    WorkerStatus& status = *system.workers[w].status;
    // acquire: pairs with the worker's release; the counters read next are at least as new as this
    // heartbeat
    now[w].heartbeat = load_acquire<Scope::system>(status.heartbeat);
    now[w].received = load_acquire<Scope::system>(status.received);
    now[w].sent = load_acquire<Scope::system>(status.sent);
    now[w].moved = load_relaxed<Scope::system>(status.moved);
  }
  now[workers] = {lane->sent(), lane->received(), 0, 0};
  for (std::uint32_t w = 0; w <= workers; ++w) {
    still = still && now[w].sent == marks[w].sent && now[w].received == marks[w].received &&
            now[w].moved == marks[w].moved;
  }
  bool confirmed = still;
  for (std::uint32_t w = 0; w < workers; ++w) {
    // the mark is only as old as the newest heartbeat seen after all counters were read
    const std::uint64_t beat = load_acquire<Scope::system>(system.workers[w].status->heartbeat);
    if (!still) {
      marked_at[w] = still_since[w] = beat;
      beats[w] = 0;
    } else if (now[w].heartbeat > marked_at[w]) {
      marked_at[w] = now[w].heartbeat;
      ++beats[w];
    }
    confirmed = confirmed && beats[w] > 0;
  }
  if (!still) marks = std::move(now);
  return confirmed;
}

void Runtime::Impl::watch() {
  if (auto healthy = executor->healthy(); !healthy) return report_failure(healthy.error());
  if (auto fault = find_fault()) return report_failure(std::move(*fault));
  // of the counts as they were published by the last call: a run that ends with one owed ends later
  const bool owes_checkpoint = directory && policy.due_by_count(progress());
  const std::lock_guard lane_lock(lane->mutex);
  asks.expire(Clock::now());
  const bool confirmed = scan_counters();
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  for (const Mark& mark : marks) {
    received += mark.received;
    sent += mark.sent;
  }

  const auto now = Clock::now();
  const std::lock_guard lock(mutex);
  totals.sent = sent;
  totals.received = received;
  // what waits for its time is not stuck
  std::uint64_t timers = 0;
  for (std::uint32_t w = 0; w < workers; ++w)
    timers += load_relaxed<Scope::system>(system.workers[w].status->timers);
  totals.host_sent = marks[workers].sent;
  totals.host_received = marks[workers].received;
  if (received != progress_mark || received + timers >= sent || wanted_state != RunState::running ||
      cut_open) {  // a worker may be waiting for the drain
    progress_mark = received;
    progress_time = now;
  } else if (options.stall_deadline.count() > 0 && now - progress_time > options.stall_deadline &&
             !failure) {
    failure = Error{
        ErrorCode::deadline_exceeded, 0,
        "no message was handled for " +
            std::to_string(
                std::chrono::duration_cast<std::chrono::seconds>(options.stall_deadline).count()) +
            " s while " + std::to_string(sent - received) +
            " are in flight; a handler does not return, or bounded queues wait for each other "
            "(raise "
            "Capacities)" +
            describe_stall()};
    changed.notify_all();
  }
  if (is_stuck() && received != sent && wanted_state == RunState::running && !cut_open &&
      !failure) {
    if (std::string cycle = describe_deadlock(); !cycle.empty()) {
      failure = Error{ErrorCode::deadlock, 0, std::move(cycle)};
      changed.notify_all();
    }
  }
  settled = confirmed;
  may_be_over = sent == received && !confirmed;
  const bool was_quiescent = quiescent;
  quiescent = confirmed && sent == received && feed_state == FeedState::ended && !owes_checkpoint;
  // run() waits; what asks it to stop may be a signal handler, which cannot tell it
  const bool wants_stop = load_relaxed<Scope::system>(stop_request) != 0;  // relaxed: a mere wish
  if ((quiescent && !was_quiescent) || wants_stop) changed.notify_all();
}

}  // namespace rk
