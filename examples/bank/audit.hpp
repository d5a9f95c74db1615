// Checks a checkpoint of a bank against what the settings say must be in it, to the last coin and
// the last message.
//
// Every choice an account makes is a function of (seed, account, number), so from the numbers of
// transfers that the accounts made by the cut follows what everybody must have received, less what
// is in flight. A message that is lost, there twice, altered, or saved together with its own effect
// breaks one of the equations below.
//
// The work is incremental: checkpoints of one run are given in the order of their epochs.
// Thread-safety: one thread.
#pragma once

#include <ringkernel/checkpoint/restore.hpp>

#include <string>
#include <vector>

#include "simulation.hpp"

namespace rk::bank {

/// What a cut caught.
struct CutContent {
  std::uint64_t transfers = 0;  ///< in flight
  std::uint64_t acks = 0;
  std::uint64_t deposits = 0;
  std::uint64_t starts = 0;
  std::int64_t money = 0;  ///< in transfers and deposits in flight
  std::uint64_t made = 0;  ///< transfers made before the cut
  bool finished = false;   ///< everything was made and nothing is in flight

  [[nodiscard]] std::uint64_t messages() const { return transfers + acks + deposits + starts; }
};

class Audit {
 public:
  explicit Audit(const Settings& settings);
  /// ErrorCode::internal with what is wrong.
  [[nodiscard]] Result<CutContent> check(const checkpoint::LoadedCheckpoint& checkpoint);

 private:
  struct Account {
    Ledger now;
    std::uint32_t sent[kPeers];
    std::uint32_t got[kPeers];
    std::uint32_t
        next_in_pair[kPeers];  ///< number the next message in flight of this pair must have
    std::uint64_t counted;     ///< transfers that the expectations of others include
    std::int64_t paid_out;
    std::int64_t paid_in;
    std::uint64_t transfers_in;
    std::int64_t deposited;
    std::uint64_t deposits_in;
    // of this cut
    std::int64_t money_coming;
    std::uint64_t transfers_coming;
    std::uint64_t deposits_coming;
    std::uint64_t unacked;  ///< its transfers and the acknowledgements to it, in flight
    std::uint32_t starts_coming;
  };

  [[nodiscard]] Result<void> read_slots(const checkpoint::LoadedCheckpoint& checkpoint);
  [[nodiscard]] Result<void> advance();
  [[nodiscard]] Result<void> add_message(const MessageHeader& header, const std::byte* payload,
                                         CutContent& content);
  [[nodiscard]] Result<void> add_transfer(const MessageHeader& header, const Transfer& transfer,
                                          CutContent& content);
  [[nodiscard]] Result<void> compare() const;
  [[nodiscard]] Choice choose(std::uint32_t account, std::uint64_t number) const;

  Settings settings_;
  Treasury treasury_;
  std::uint64_t deposits_counted_ = 0;
  std::int64_t deposits_money_ = 0;
  std::vector<Account> accounts_;
};

}  // namespace rk::bank
