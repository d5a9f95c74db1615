// The actors of the bank: accounts that pay each other as fast as messages travel.
//
//   treasury (host) --Deposit--> account a --Transfer k--> account b --Ack--> account a --Transfer
//   k+window--> ...
//
// Invariants, which audit.hpp checks on every checkpoint:
//  1. Who gets the k-th transfer of account a, and how much, depends on (seed, a, k) alone. So the
//  final state does not
//     depend on the order in which messages are handled.
//  2. An account has at most kWindow transfers whose acknowledgement it has not seen. At most
//  accounts x kWindow messages
//     between accounts are in flight, and inboxes are sized from that.
//  3. Money is never made or lost: balances + transfers and deposits in flight + treasury is
//  constant.
//  4. PeerAccount pays 8 fixed peers and numbers the transfers of each pair; a receiver fails on a
//  gap, a repeat or a swap.
#pragma once

#include <ringkernel/kernels/rng.hpp>
#include <ringkernel/runtime/actor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace rk::bank {

inline constexpr std::uint32_t kPeers = 8;
inline constexpr std::uint32_t kPeerWindow = 4;
inline constexpr std::int64_t kInitialBalance = 1000;

/// Makes an account begin.
struct Start {
  static constexpr std::uint8_t tag = 1;
  static constexpr std::uint32_t max_sends = kPeerWindow;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t reserved = 0;
};
struct Transfer {
  static constexpr std::uint8_t tag = 2;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::int32_t amount = 0;
  std::uint32_t number = 0;       ///< k: counts all transfers of the sender from 0
  std::uint32_t peer = 0;         ///< PeerAccount: which of the sender's peers the receiver is
  std::uint32_t pair_number = 0;  ///< PeerAccount: counts the transfers of this pair from 1
};
struct Ack {
  static constexpr std::uint8_t tag = 3;
  static constexpr std::uint32_t max_sends = 1;
  static constexpr std::uint32_t max_host_sends = 0;
  std::uint64_t number = 0;
};
struct Deposit {
  static constexpr std::uint8_t tag = 4;
  static constexpr std::uint32_t max_sends = 0;
  static constexpr std::uint32_t max_host_sends = 0;
  std::int64_t amount = 0;
  std::uint64_t number = 0;  ///< counts all deposits from 1
};

/// What a handler reports with ctx.fail().
enum class Violation : std::uint32_t {
  pair_out_of_order = 1,     ///< a transfer of a pair was lost, repeated or overtaken
  deposit_out_of_order = 2,  ///< a deposit was repeated or overtaken
  ack_without_transfer = 3,
  started_twice = 4,
};

struct Ledger {
  std::int64_t balance = kInitialBalance;
  std::uint64_t made = 0;      ///< transfers sent
  std::uint64_t acked = 0;     ///< of these: acknowledged
  std::uint64_t received = 0;  ///< transfers received
  std::uint64_t deposits = 0;
  std::uint64_t last_deposit = 0;  ///< number of the newest one
  std::uint64_t share = 0;         ///< transfers to make
  std::uint32_t accounts = 0;
  std::uint32_t started = 0;
};

struct Choice {
  std::uint32_t target = 0;
  std::uint32_t peer = 0;
  std::int32_t amount = 0;
};

/// Distance from an account to its peer; distinct for every peer when there are more than kPeers
/// accounts.
RK_FN constexpr std::uint32_t peer_distance(std::uint32_t peer, std::uint32_t accounts) {
  return 1 + static_cast<std::uint32_t>(std::uint64_t{peer} * (accounts - 1) / kPeers);
}

struct Account {
  using messages = handles<Start, Transfer, Ack, Deposit>;
  static constexpr const char* name = "account";
  static constexpr std::uint32_t kWindow = 1;
  Ledger ledger;

  /// What `rk diff` and `rk export` show.
  static std::array<Region, 1> regions() {
    return {region("balance", ElementType::i64, offsetof(Account, ledger.balance))};
  }

  RK_FN static Choice choose(Rng rng, std::uint32_t, std::uint32_t accounts) {
    const std::uint32_t target = rng.below(accounts);
    return {target, 0, 1 + static_cast<std::int32_t>(rng.below(1000))};
  }
  RK_FN std::uint32_t next_pair_number(std::uint32_t) const { return 0; }
  RK_FN void count_sent(std::uint32_t) {}
  RK_FN bool count_received(const Transfer&) { return true; }

  template <class M, class Ctx>
  RK_FN void on(const M& message, Ctx& ctx);
};

struct PeerAccount {
  using messages = handles<Start, Transfer, Ack, Deposit>;
  static constexpr const char* name = "peer_account";
  static constexpr std::uint32_t kWindow = kPeerWindow;
  Ledger ledger;
  std::uint32_t sent[kPeers] = {};  ///< newest number of each pair that starts here
  std::uint32_t got[kPeers] = {};   ///< newest number of each pair that ends here

  static std::array<Region, 1> regions() {
    return {region("balance", ElementType::i64, offsetof(PeerAccount, ledger.balance))};
  }

  RK_FN static Choice choose(Rng rng, std::uint32_t self, std::uint32_t accounts) {
    const std::uint32_t peer = rng.below(kPeers);
    const std::uint64_t target = (std::uint64_t{self} + peer_distance(peer, accounts)) % accounts;
    return {static_cast<std::uint32_t>(target), peer,
            1 + static_cast<std::int32_t>(rng.below(1000))};
  }
  RK_FN std::uint32_t next_pair_number(std::uint32_t peer) const { return sent[peer] + 1; }
  RK_FN void count_sent(std::uint32_t peer) { ++sent[peer]; }
  RK_FN bool count_received(const Transfer& transfer) {
    return transfer.pair_number == ++got[transfer.peer % kPeers];
  }

  template <class M, class Ctx>
  RK_FN void on(const M& message, Ctx& ctx);
};

namespace detail {

/// Sends the account's transfer number `k`. Collective.
template <class Self, class Ctx>
RK_FN void pay(Self& self, std::uint64_t k, Ctx& ctx) {
  const Choice choice = Self::choose(ctx.rng(k), ctx.self().index(), self.ledger.accounts);
  const Transfer transfer{choice.amount, static_cast<std::uint32_t>(k), choice.peer,
                          self.next_pair_number(choice.peer)};
  ctx.sync();  // every lane has read what the leader changes now
  if (ctx.leader()) {
    self.ledger.balance -= choice.amount;
    ++self.ledger.made;
    self.count_sent(choice.peer);
  }
  ctx.send(ref<Self>{ActorId::make(choice.target, 0)}, transfer);
  ctx.sync();
}

template <class Self, class Ctx>
RK_FN void handle(Self& self, const Start&, Ctx& ctx) {
  const Ledger& ledger = self.ledger;
  if (ledger.started != 0) return ctx.fail(static_cast<std::uint32_t>(Violation::started_twice));
  const std::uint64_t first = ledger.share < Self::kWindow ? ledger.share : Self::kWindow;
  ctx.sync();
  if (ctx.leader()) self.ledger.started = 1;
  for (std::uint64_t k = 0; k < first; ++k) pay(self, k, ctx);
}

template <class Self, class Ctx>
RK_FN void handle(Self& self, const Transfer& transfer, Ctx& ctx) {
  if (ctx.leader()) {
    self.ledger.balance += transfer.amount;
    ++self.ledger.received;
    // the leader alone may call it here: fail() does its work on the leader
    if (!self.count_received(transfer))
      ctx.fail(static_cast<std::uint32_t>(Violation::pair_out_of_order));
  }
  ctx.send(ref<Self>{ctx.sender()}, Ack{transfer.number});
}

template <class Self, class Ctx>
RK_FN void handle(Self& self, const Ack&, Ctx& ctx) {
  const std::uint64_t next = self.ledger.made;
  const bool expected = self.ledger.acked < next;
  const bool more = next < self.ledger.share;
  ctx.sync();
  if (ctx.leader()) ++self.ledger.acked;
  if (!expected) return ctx.fail(static_cast<std::uint32_t>(Violation::ack_without_transfer));
  if (more) pay(self, next, ctx);
}

template <class Self, class Ctx>
RK_FN void handle(Self& self, const Deposit& deposit, Ctx& ctx) {
  if (!ctx.leader()) return;
  if (deposit.number <= self.ledger.last_deposit)
    ctx.fail(static_cast<std::uint32_t>(Violation::deposit_out_of_order));
  self.ledger.last_deposit = deposit.number;
  self.ledger.balance += deposit.amount;
  ++self.ledger.deposits;
}

}  // namespace detail

template <class M, class Ctx>
RK_FN void Account::on(const M& message, Ctx& ctx) {
  detail::handle(*this, message, ctx);
}
template <class M, class Ctx>
RK_FN void PeerAccount::on(const M& message, Ctx& ctx) {
  detail::handle(*this, message, ctx);
}

}  // namespace rk::bank
