// Reads the workers' blocks (telemetry_block.hpp) and says in words who does not get on.
#include <ringkernel/runtime/telemetry.hpp>
#include <ringkernel/runtime/telemetry_block.hpp>
#include <ringkernel/runtime/wait.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "runtime_impl.hpp"

namespace rk {
namespace {

double seconds_between(std::uint64_t from_us, std::uint64_t to_us) {
  return to_us > from_us ? static_cast<double>(to_us - from_us) / 1e6 : 0;
}

std::optional<MessageTelemetry> decode(std::uint64_t word, std::uint64_t stamp,
                                       std::uint64_t now_us) {
  if (word == 0) return std::nullopt;
  return MessageTelemetry{TelemetryMessage::actor(word), TelemetryMessage::row(word),
                          TelemetryMessage::tag(word),
                          seconds_between(hlc::Timestamp{stamp}.physical_us(), now_us)};
}

TypeTelemetry decode(const TelemetryRow& row) {
  TypeTelemetry out;
  out.handled = row.handled;
  out.failures = row.failures;
  out.sends = row.sends;
  out.dead_letters = row.dead_letters;
  out.spawns = row.spawns;
  out.kills = row.kills;
  out.handler_ns = row.handler_ns;
  out.latency_us = row.latency_us;
  std::copy(std::begin(row.latency), std::end(row.latency), out.latency.counts.begin());
  std::copy(std::begin(row.duration), std::end(row.duration), out.duration.counts.begin());
  return out;
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", seconds);
  return text;
}

}  // namespace

void TypeTelemetry::merge(const TypeTelemetry& other) {
  handled += other.handled;
  failures += other.failures;
  sends += other.sends;
  dead_letters += other.dead_letters;
  spawns += other.spawns;
  kills += other.kills;
  handler_ns += other.handler_ns;
  latency_us += other.latency_us;
  latency.merge(other.latency);
  duration.merge(other.duration);
}

TypeTelemetry Telemetry::of_type(std::size_t type) const {
  TypeTelemetry all;
  for (const WorkerTelemetry& worker : workers) {
    if (type < worker.types.size()) all.merge(worker.types[type]);
  }
  return all;
}

/// The blocks as they are now, word by word.
Result<std::vector<std::uint64_t>> Runtime::Impl::copy_telemetry_blocks() const {
  std::vector<std::uint64_t> words(placed.telemetry_bytes / sizeof(std::uint64_t));
  if (words.empty()) return words;
  if (telemetry_staging == nullptr) {
    auto* from = reinterpret_cast<std::uint64_t*>(placed.telemetry);
    // relaxed: each word stands alone
    for (std::uint64_t& word : words) word = load_relaxed<Scope::system>(*from++);
    return words;
  }
  const std::lock_guard one_at_a_time(telemetry_mutex);
  RK_TRY(executor->fetch(telemetry_staging, placed.telemetry, placed.telemetry_bytes));
  std::memcpy(words.data(), telemetry_staging, placed.telemetry_bytes);
  return words;
}

void Runtime::Impl::read_status(std::uint32_t w, WorkerTelemetry& out) const {
  WorkerStatus& status = *system.workers[w].status;
  // relaxed: figures for people; each stands alone
  out.sent = load_relaxed<Scope::system>(status.sent);
  out.received = load_relaxed<Scope::system>(status.received);
  out.dead = load_relaxed<Scope::system>(status.dead);
  out.outbox = load_relaxed<Scope::system>(status.outbox);
  out.stash = load_relaxed<Scope::system>(status.stashed);
  out.stash_total = load_relaxed<Scope::system>(status.stash_total);
  out.full_inbox_total = load_relaxed<Scope::system>(status.full_inbox_total);
  out.turns = load_relaxed<Scope::system>(status.heartbeat);
  out.ring_stalls = load_relaxed<Scope::system>(system.workers[w].stream_words->stalls);
}

/// The blocks and the status words of all workers. Precondition: the system is placed.
Result<std::vector<WorkerTelemetry>> Runtime::Impl::read_workers() const {
  RK_TRY_ASSIGN(const std::vector<std::uint64_t> words, copy_telemetry_blocks());
  const std::uint64_t now_us = wall_clock_us();
  const std::size_t rows = executor->program().types.size() + 1;
  const auto* block = reinterpret_cast<const std::byte*>(words.data());
  std::vector<WorkerTelemetry> out(workers);
  for (std::uint32_t w = 0; w < workers; ++w) {
    read_status(w, out[w]);
    out[w].types.resize(rows);
    if (words.empty()) continue;
    TelemetryHead head;
    std::memcpy(&head, block, sizeof(head));
    out[w].inbox = head.inbox_used;
    out[w].running = decode(head.running, head.running_hlc, now_us);
    if (out[w].running) out[w].running_s = seconds_between(head.running_since_us, now_us);
    out[w].stashed = decode(head.stash, head.stash_hlc, now_us);
    out[w].arrived = decode(head.inbox, head.inbox_hlc, now_us);
    for (std::size_t t = 0; t < rows; ++t) {
      TelemetryRow row;
      std::memcpy(&row, block + sizeof(head) + t * sizeof(row), sizeof(row));
      out[w].types[t] = decode(row);
    }
    block += telemetry_block_bytes(rows);
  }
  return out;
}

Result<Telemetry> Runtime::telemetry() const { return impl_->telemetry(); }

Result<Telemetry> Runtime::Impl::telemetry() const {
  Telemetry out;
  out.executor = executor->name();
  for (const ActorTypeInfo& type : executor->program().types) out.types.push_back(type.name);
  out.types.emplace_back("(unknown)");
  out.time_us = wall_clock_us();
  const Phase now = phase;
  out.running = now == Phase::running;
  if (now == Phase::failed)
    return fail(ErrorCode::closed, "the runtime failed: its workers cannot be read");
  if (now != Phase::created) {
    RK_TRY_ASSIGN(out.workers, read_workers());
    out.uptime_s = seconds_between(started_us, out.time_us);
  }
  const std::lock_guard lock(mutex);
  out.host_sent = totals.host_sent;
  out.host_received = totals.host_received;
  CheckpointTelemetry& checkpoint = out.checkpoint;
  checkpoint.checkpoints = totals.checkpoints;
  checkpoint.increments = totals.increments;
  checkpoint.failures = totals.checkpoint_failures;
  checkpoint.failures_in_a_row = totals.failures_in_a_row;
  checkpoint.drained_bytes = totals.drained_bytes;
  checkpoint.file_bytes = totals.file_bytes;
  checkpoint.longest = totals.longest_checkpoint;
  checkpoint.interval = totals.checkpoint_interval;
  checkpoint.newest = totals.last_checkpoint;
  if (totals.last_checkpoint_us != 0)
    checkpoint.age_s = seconds_between(totals.last_checkpoint_us, out.time_us);
  return out;
}

Result<void> Runtime::serve_metrics(MetricsOptions options) {
  if (impl_->metrics != nullptr)
    return fail(ErrorCode::invalid_argument, "the metrics are served already");
  RK_TRY_ASSIGN(impl_->metrics, MetricsServer::create(std::move(options), [impl = impl_.get()] {
                  return impl->telemetry();
                }));
  return {};
}

std::string Runtime::Impl::describe_message(const MessageTelemetry& message) const {
  const auto& types = executor->program().types;
  const std::string type =
      message.type < types.size() ? " ('" + types[message.type].name + "')" : " (unknown)";
  return "message tag " + std::to_string(message.tag) + " to actor " +
         std::to_string(message.receiver.index()) + type + ", sent " + seconds_text(message.age_s) +
         " ago";
}

/// Who waits for what. A worker inside a handler cannot publish; what it handles is stored before
/// the handler begins, so that it is named all the same.
std::string Runtime::Impl::describe_stall() const {
  const auto all = read_workers();
  if (!all) return "; the workers cannot be read: " + all.error().message;
  std::string text;
  for (std::uint32_t w = 0; w < workers; ++w) {
    const WorkerTelemetry& worker = (*all)[w];
    text += "; worker " + std::to_string(w) + ": handled " + std::to_string(worker.received) +
            ", outbox " + std::to_string(worker.outbox) + ", stash " +
            std::to_string(worker.stash) + ", inbox " + std::to_string(worker.inbox) + ", turn " +
            std::to_string(worker.turns);
    if (worker.running) {
      text += ", for " + seconds_text(worker.running_s) + " inside the handler of " +
              describe_message(*worker.running);
    }
    if (worker.stashed)
      text += ", set aside for lack of room: " + describe_message(*worker.stashed);
    if (worker.arrived) text += ", waiting: " + describe_message(*worker.arrived);
  }
  return text;
}

}  // namespace rk
