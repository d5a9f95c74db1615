#include "host_lane.hpp"

#include <ringkernel/runtime/wait.hpp>

#include <cstring>
#include <string>
#include <utility>

namespace rk {

HostLane::HostLane(const SystemView& system, const std::vector<std::uint64_t>& replayed,
                   std::uint32_t source_sequence)
    : system_(system),
      channels_(system.worker_count),
      epoch_(system.base_epoch),
      source_sequence_(source_sequence) {
  clock_.restore(hlc::Timestamp{system.base_hlc});
  for (std::uint32_t lane = 0; lane < kHostLanes; ++lane)
    h2k_[lane] = {system.h2k[lane].slots, system.h2k[lane].words};
  for (std::uint32_t w = 0; w < system.worker_count; ++w) {
    k2h_.emplace_back(system.workers[w].k2h, system.workers[w].k2h_words);
    channels_[w].sent = w < replayed.size() ? replayed[w] : 0;
    sent_ += channels_[w].sent;
  }
}

Result<void> HostLane::send(const HostMessage& message, const std::byte* payload,
                            std::uint32_t payload_bytes) {
  return send_coloured(static_cast<std::uint16_t>(epoch_), message, payload, payload_bytes);
}

std::optional<std::uint32_t> HostLane::worker_of(ActorId to) const {
  if (is_worker_address(to) && to.generation() < system_.worker_count) return to.generation();
  if (to.index() >= system_.actor_count || system_.actors[to.index()].slot == nullptr) return {};
  const ActorEntry& entry = system_.actors[to.index()];
  // generations only grow: an older one than at the start is dead for certain
  if (entry.generation != kNoGeneration && to.generation() < entry.generation) return {};
  return system_.owners[to.index()];
}

Result<void> HostLane::send_coloured(std::uint16_t colour, const HostMessage& message,
                                     const std::byte* payload, std::uint32_t payload_bytes) {
  const auto worker = worker_of(message.to);
  if (!worker) {
    return fail(ErrorCode::not_found, "no actor has the id " + std::to_string(message.to.word) +
                                          "; send to a reference from spawn()");
  }
  auto& h2k = h2k_[host_lane_of(message.flags)];
  if (!h2k.has_room()) {
    return fail(ErrorCode::would_block,
                "the host-to-kernel ring is full; try again, or raise Capacities::h2k_slots");
  }
  const MessageView view{h2k.claim(), system_.message_slot_bytes};
  auto& header = view.header();
  header.hlc = clock_.tick(wall_clock_us()).word;
  header.dst = message.to;
  header.src = kHostId;
  header.source_sequence = ++source_sequence_;
  header.epoch = colour;
  header.tag = message.tag;
  header.flags = message.flags;
  std::memcpy(view.payload(), payload, payload_bytes);
  std::memset(view.payload() + payload_bytes, 0,
              system_.message_slot_bytes - sizeof(MessageHeader) - payload_bytes);
  view.envelope() = Envelope{message.due, message.correlation,
                             Route{static_cast<std::uint8_t>(message.kind), 0, kHostChannel,
                                   static_cast<std::uint8_t>(*worker)}};
  ++channels_[*worker].sent;
  ++sent_;
  h2k.publish();
  return {};
}

std::uint64_t HostLane::drain_outputs(std::uint32_t limit, const Crossed& crossed,
                                      const Deliver& deliver, const CanDeliver& can_deliver) {
  std::uint64_t count = 0;
  const std::uint64_t wall_us = wall_clock_us();
  for (std::uint32_t w = 0; w < system_.worker_count; ++w) {
    for (std::uint32_t n = 0; n < limit; ++n) {
      std::byte* slot = k2h_[w].front();
      if (slot == nullptr) break;
      const MessageView message{slot, system_.message_slot_bytes};
      if (can_deliver && !can_deliver(message)) break;
      if (epoch_newer(static_cast<std::uint16_t>(epoch_), message.header().epoch)) {
        crossed(w, {slot, system_.message_slot_bytes});
      }
      const hlc::Timestamp stamp{message.header().hlc};
      if (hlc::within_drift(stamp, wall_us)) {
        clock_.merge(stamp, wall_us);
      } else {
        ++refused_stamps_;
      }
      deliver(message);
      ++channels_[w].received;
      ++received_;
      k2h_[w].pop();
      ++count;
    }
  }
  return count;
}

std::vector<CutChannel> HostLane::begin_cut(std::uint32_t epoch) {
  epoch_ = epoch;
  clock_.tick(wall_clock_us());
  return channels_;
}

void HostLane::publish_cut(std::uint32_t parent) {
  store_relaxed<Scope::system>(system_.host_control->cut_parent, parent);
  for (std::uint32_t lane = 0; lane < kHostLanes; ++lane)
    store_relaxed<Scope::system>(system_.host_control->cut_position[lane], h2k_[lane].position());
  // release, here and below: publishes the operand; pairs with the dispatcher's acquire
  store_release<Scope::system>(system_.host_control->cut_epoch, epoch_);
  publish_control();
}

void HostLane::close_cut(std::uint32_t epoch) {
  store_relaxed<Scope::system>(system_.host_control->closed_epoch, epoch);
  publish_control();
}

void HostLane::set_run_state(RunState state) {
  store_relaxed<Scope::system>(system_.host_control->run_state, static_cast<std::uint32_t>(state));
  publish_control();
}

void HostLane::request_read(std::uint32_t request, ActorId actor) {
  store_relaxed<Scope::system>(system_.host_control->read_actor, actor.word);
  store_release<Scope::system>(system_.host_control->read_request, request);
  publish_control();
}

void HostLane::request_step(std::uint32_t request, std::uint64_t messages) {
  store_relaxed<Scope::system>(system_.host_control->step_budget, messages);
  store_release<Scope::system>(system_.host_control->step_request, request);
  publish_control();
}

void HostLane::set_clock_offset(std::int64_t offset_us) {
  store_relaxed<Scope::system>(system_.host_control->clock_offset_us, offset_us);
  publish_control();
}

std::uint32_t HostLane::request_move(const MoveRequest& request) {
  HostControl& control = *system_.host_control;
  store_relaxed<Scope::system>(control.move_step, static_cast<std::uint32_t>(request.step));
  store_relaxed<Scope::system>(control.move_actor, request.actor.word);
  store_relaxed<Scope::system>(control.move_to, request.to);
  store_relaxed<Scope::system>(control.move_gap, request.gap);
  store_release<Scope::system>(control.move_request, ++move_request_);
  publish_control();
  return move_request_;
}

void HostLane::finish_move(ActorId actor, std::uint32_t place, std::uint32_t to,
                           std::int64_t host_messages) {
  ActorEntry& moved = system_.actors[actor.index()];
  ActorEntry& other = system_.actors[place];
  std::swap(moved.slot, other.slot);
  std::swap(system_.owners[actor.index()], system_.owners[place]);
  const std::uint32_t from = system_.owners[place];
  RK_ASSERT(system_.owners[actor.index()] == to && from != to);
  channels_[from].sent -= static_cast<std::uint64_t>(host_messages);
  channels_[to].sent += static_cast<std::uint64_t>(host_messages);
  for (std::uint32_t lane = 0; lane < kHostLanes; ++lane) {
    const HostRing& ring = system_.h2k[lane];
    // acquire: as in SpscProducer::has_room; the dispatcher stands still
    for (std::uint64_t at = load_acquire<Scope::system>(ring.words->consumed);
         at != h2k_[lane].position(); ++at) {
      const MessageView message{ring.slots.slot(at), system_.message_slot_bytes};
      const std::uint32_t index = message.header().dst.index();
      if (index != actor.index() && index != place) continue;
      const std::uint32_t now = index == place ? from : to;
      Route& route = message.route();
      --channels_[route.to].sent;
      ++channels_[now].sent;
      route.to = static_cast<std::uint8_t>(now);
    }
  }
}

void HostLane::publish_control() {
  // release: publishes the control words; pairs with the dispatcher's acquire of the version
  store_release<Scope::system>(system_.host_control->version, ++control_version_);
}

}  // namespace rk
