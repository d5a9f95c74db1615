// The H2K dispatcher: the one reader of host memory on the device's side. It relays the control
// words and moves host messages from the H2K rings into inboxes. For the cut it is a channel with
// its own stream.
//
// Invariants:
//  1. Control first: a turn relays it before it looks at data.
//  2. Ordinary messages have inboxes of their own. Control messages enter the workers' control
//  inbox only while it is less than half full: the workers' own always have the other half.
//  3. A full inbox holds back what the host sent later by the same lane. The control lane comes
//  first and has its own ring and inboxes: a kill gets by what it ends.
//  4. Cut: messages below their lane's HostControl::cut_position are old. Those still in a ring are
//  recorded here and forwarded with the new colour; those forwarded before keep the old colour and
//  are the receiving worker's to record.
#pragma once

#include <ringkernel/kernels/group.hpp>
#include <ringkernel/kernels/serializer.hpp>

namespace rk {

/// One lane.
class Dispatcher {
 public:
  RK_FN explicit Dispatcher(const SystemView& system)
      : system_(&system),
        serializer_(system, system.worker_count, system.dispatcher_ring, system.dispatcher_words),
        epoch_(system.base_epoch) {
    for (std::uint32_t lane = 0; lane < kHostLanes; ++lane)
      lanes_[lane].h2k = {system.h2k[lane].slots, system.h2k[lane].words};
    for (std::uint32_t worker = 0; worker < system.worker_count; ++worker) {
      const WorkerView& view = system.workers[worker];
      system.dispatcher_peers[worker] =
          InboxProducer(view.host_inbox, view.host_inbox_words, Producers::one);
      system.dispatcher_peers[system.worker_count + worker] =
          InboxProducer(view.control, view.control_words);
    }
  }

  /// One bounded round. False once the run stops. `worked` tells whether anything moved.
  RK_FN bool turn(bool& worked) {
    worked = relay_control();
    if (stopping_) return false;
    if (is_still_) return true;
    for (std::uint32_t lane = kHostLanes; lane-- > 0;) {
      if (lanes_[lane].recorded_to < lanes_[lane].cut_position)
        worked |= record_waiting(lanes_[lane]);
      worked |= forward(lane);
    }
    return true;
  }

 private:
  static constexpr std::uint32_t kMessagesPerTurn = 64;  ///< of a lane

  struct Lane {
    SpscConsumer<StridedSlots, Scope::system> h2k;
    std::uint64_t cut_position = 0;  ///< of the open cut
    std::uint64_t recorded_to = 0;   ///< positions below it are recorded or forwarded
  };

  RK_FN bool relay_control() {
    HostControl& from = *system_->host_control;
    // acquire: pairs with the host's release of the version
    const std::uint32_t version = load_acquire<Scope::system>(from.version);
    if (version == version_) return false;
    version_ = version;
    DeviceControl& to = *system_->device_control;
    // acquire: the operands read after these are at least as new; pairs with the host's release
    const std::uint32_t cut_epoch = load_acquire<Scope::system>(from.cut_epoch);
    const std::uint32_t read_request = load_acquire<Scope::system>(from.read_request);
    const std::uint32_t step_request = load_acquire<Scope::system>(from.step_request);
    const std::uint32_t move_request = load_acquire<Scope::system>(from.move_request);
    closed_ = load_relaxed<Scope::system>(from.closed_epoch);
    if (cut_epoch != epoch_) {
      epoch_ = cut_epoch;
      serializer_.begin(cut_epoch);
      for (std::uint32_t lane = 0; lane < kHostLanes; ++lane) {
        lanes_[lane].cut_position = load_relaxed<Scope::system>(from.cut_position[lane]);
        lanes_[lane].recorded_to = lanes_[lane].h2k.position();
      }
    }
    const std::uint32_t run_state = load_relaxed<Scope::system>(from.run_state);
    stopping_ = run_state == static_cast<std::uint32_t>(RunState::stopping);
    is_still_ = run_state == static_cast<std::uint32_t>(RunState::moving);
    store_relaxed<Scope::device>(to.run_state, run_state);
    store_relaxed<Scope::device>(to.cut_parent, load_relaxed<Scope::system>(from.cut_parent));
    store_relaxed<Scope::device>(to.cut_epoch, cut_epoch);
    store_relaxed<Scope::device>(to.closed_epoch, closed_);
    store_relaxed<Scope::device>(to.clock_offset_us,
                                 load_relaxed<Scope::system>(from.clock_offset_us));
    store_relaxed<Scope::device>(to.read_actor, load_relaxed<Scope::system>(from.read_actor));
    store_relaxed<Scope::device>(to.step_budget, load_relaxed<Scope::system>(from.step_budget));
    store_relaxed<Scope::device>(to.move_step, load_relaxed<Scope::system>(from.move_step));
    store_relaxed<Scope::device>(to.move_actor, load_relaxed<Scope::system>(from.move_actor));
    store_relaxed<Scope::device>(to.move_to, load_relaxed<Scope::system>(from.move_to));
    store_relaxed<Scope::device>(to.move_gap, load_relaxed<Scope::system>(from.move_gap));
    // release: publishes the operands above; pairs with the workers' acquire of the same words
    store_release<Scope::device>(to.read_request, read_request);
    store_release<Scope::device>(to.step_request, step_request);
    store_release<Scope::device>(to.move_request, move_request);
    // release: publishes the words above; pairs with the workers' acquire of the version
    store_release<Scope::device>(to.version, version);
    return true;
  }

  RK_FN bool record_waiting(Lane& lane) {
    if (closed_ >= epoch_) {  // abandoned
      lane.recorded_to = lane.cut_position;
      return false;
    }
    if (lane.recorded_to < lane.h2k.position()) lane.recorded_to = lane.h2k.position();
    SingleGroup group;
    bool worked = false;
    for (std::uint32_t n = 0; n < kMessagesPerTurn && lane.recorded_to < lane.cut_position; ++n) {
      std::byte* slot = lane.h2k.peek(lane.recorded_to);
      if (slot == nullptr || !serializer_.ring().has_room(system_->message_slot_bytes)) break;
      serializer_.write_message(group, *system_, MessageView{slot, system_->message_slot_bytes},
                                nullptr);
      ++lane.recorded_to;
      worked = true;
    }
    return worked;
  }

  RK_FN bool forward(std::uint32_t lane_index) {
    Lane& lane = lanes_[lane_index];
    bool worked = false;
    for (std::uint32_t n = 0; n < kMessagesPerTurn; ++n) {
      std::byte* from = lane.h2k.front();
      if (from == nullptr) break;
      const MessageView message{from, system_->message_slot_bytes};
      InboxProducer& peer =
          system_->dispatcher_peers[message.route().to + lane_index * system_->worker_count];
      std::uint64_t position = 0;
      const bool is_shared = lane_index == host_lane_of(kFlagControl);
      std::byte* to = peer.try_claim(position, is_shared ? peer.capacity() / 2 : peer.capacity());
      if (to == nullptr) break;
      copy_message(to, from, system_->message_slot_bytes);
      if (lane.h2k.position() < lane.recorded_to &&
          epoch_newer(static_cast<std::uint16_t>(epoch_), message.header().epoch)) {
        reinterpret_cast<MessageHeader*>(to)->epoch = static_cast<std::uint16_t>(epoch_);
      }
      peer.publish(to, position);
      lane.h2k.pop();
      worked = true;
    }
    return worked;
  }

  const SystemView* system_;
  Lane lanes_[kHostLanes];
  Serializer serializer_;
  std::uint32_t version_ = 0;
  std::uint32_t epoch_ = 0;
  std::uint32_t closed_ = 0;
  bool stopping_ = false;
  bool is_still_ = false;  ///< an actor moves: H2K and inboxes stay as they are
};

}  // namespace rk
