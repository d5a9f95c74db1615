// Runtime: actors that come and go while it runs, questions, dead letters.
#include <ringkernel/runtime/runtime.hpp>

#include <algorithm>
#include <cstring>
#include <thread>

#include "migration.hpp"
#include "runtime_impl.hpp"

namespace rk {
namespace {

/// How long a spawn may take to be answered: it waits in queues like any message.
constexpr auto kSpawnDeadline = std::chrono::minutes(10);

}  // namespace

Result<void> Runtime::reserve_places(std::uint64_t type_hash, std::uint32_t count,
                                     std::uint32_t field_bytes) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::created)
    return fail(ErrorCode::closed, "reserve() comes before start() and run()");
  RK_TRY_ASSIGN(const std::uint32_t type, impl.type_index(type_hash));
  const ActorTypeInfo& info = impl.executor->program().types[type];
  if (count > kMaxActors)
    return fail(ErrorCode::invalid_argument, "more than " + std::to_string(kMaxActors) + " places");
  if (slot_stride(info.state_bytes, info.trail.trail_bytes(field_bytes)) > kMaxSlotBytes)
    return fail(ErrorCode::invalid_argument, "an actor takes at most 512 MiB with its field");
  impl.reserves.resize(impl.executor->program().types.size());
  impl.reserves[type] = {count, field_bytes};
  return {};
}

void Runtime::ask_bytes(ActorId to, std::uint8_t tag, const std::byte* payload, std::uint32_t bytes,
                        std::chrono::nanoseconds deadline,
                        std::function<void(Result<std::vector<std::byte>>)> answer) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::running)
    return answer(fail(ErrorCode::closed, "ask() needs running workers: start() or run() first"));
  const std::lock_guard lock(impl.lane->mutex);
  const std::uint32_t correlation = impl.asks.next_correlation();
  impl.asks.add(correlation, Impl::Clock::now() + deadline, std::move(answer));
  auto sent = impl.lane->send(
      {.to = to, .tag = tag, .kind = MessageKind::ask, .correlation = correlation}, payload, bytes);
  if (!sent) impl.asks.settle(correlation, unexpected(sent.error()));
  impl.idle.ring();
}

void Runtime::spawn_bytes(std::uint64_t type_hash, std::uint8_t tag, const std::byte* payload,
                          std::uint32_t bytes, const SpawnWhere& where,
                          std::function<void(Result<ActorId>)> born) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::running)
    return born(fail(ErrorCode::closed, "spawn_with() needs running workers: start() first"));
  const auto type = impl.type_index(type_hash);
  if (!type) return born(unexpected(type.error()));
  if (where.worker && *where.worker >= impl.workers)
    return born(fail(ErrorCode::invalid_argument,
                     "there are only " + std::to_string(impl.workers) + " workers"));
  const std::lock_guard lock(impl.lane->mutex);
  std::uint32_t worker = where.worker.value_or(impl.spread++ % impl.workers);
  if (!(where.near == kNoActor)) worker = impl.lane->worker_of(where.near).value_or(worker);
  const std::uint32_t correlation = impl.asks.next_correlation();
  impl.asks.add(correlation, Impl::Clock::now() + kSpawnDeadline,
                [born](Result<std::vector<std::byte>> answer) {
                  if (!answer) return born(unexpected(answer.error()));
                  Spawned spawned;
                  std::memcpy(&spawned, answer->data(), sizeof(spawned));
                  born(spawned.actor);
                });
  auto sent = impl.lane->send({.to = worker_address(worker),
                               .tag = static_cast<std::uint8_t>(CommandTag::spawn),
                               .flags = kFlagControl | kFlagSystem,
                               .kind = MessageKind::ask,
                               .correlation = correlation,
                               .due = *type | std::uint64_t{tag} << 32},
                              payload, bytes);
  if (!sent) impl.asks.settle(correlation, unexpected(sent.error()));
  impl.idle.ring();
}

std::shared_ptr<detail::OutputQueue> Runtime::subscribe_bytes(std::uint8_t tag,
                                                              std::size_t capacity) {
  auto queue = std::make_shared<detail::OutputQueue>(capacity == 0 ? 1 : capacity);
  impl_->subscribers[tag].push_back(queue);
  return queue;
}

Result<void> Runtime::kill(ActorId actor, std::uint32_t code) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::running)
    return fail(ErrorCode::closed, "kill() needs running workers: start() or run() first");
  const Command command{.code = code};
  const std::lock_guard lock(impl.lane->mutex);
  impl.idle.ring();
  return impl.lane->send({.to = actor,
                          .tag = static_cast<std::uint8_t>(CommandTag::kill),
                          .flags = kFlagControl | kFlagSystem},
                         reinterpret_cast<const std::byte*>(&command), sizeof(command));
}

std::vector<DeadLetter> Runtime::dead_letters() const {
  if (!impl_->lane) return impl_->letters.all();
  const std::lock_guard lock(impl_->lane->mutex);
  return impl_->letters.all();
}
std::vector<DeadLetter> Runtime::take_dead_letters() {
  if (!impl_->lane) return impl_->letters.take();
  const std::lock_guard lock(impl_->lane->mutex);
  return impl_->letters.take();
}
void Runtime::on_dead_letter(std::function<void(const DeadLetter&)> callback) {
  impl_->letter_callback = std::move(callback);
}

Result<void> Runtime::replay(const DeadLetter& letter) {
  Impl& impl = *impl_;
  if (impl.phase != Impl::Phase::running)
    return fail(ErrorCode::closed, "replay() needs running workers: start() or run() first");
  const std::size_t room =
      impl.system.message_slot_bytes - sizeof(MessageHeader) - sizeof(Envelope);
  if (letter.is_command || letter.payload.size() > room)
    return fail(ErrorCode::invalid_argument,
                "only messages of this program can be sent again, no commands");
  const std::lock_guard lock(impl.lane->mutex);
  impl.idle.ring();
  return impl.lane->send({.to = letter.to, .tag = letter.tag}, letter.payload.data(),
                         static_cast<std::uint32_t>(letter.payload.size()));
}

}  // namespace rk
