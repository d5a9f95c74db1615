#include "audit.hpp"

#include <algorithm>
#include <cstring>

namespace rk::bank {
namespace {

unexpected wrong(std::uint32_t account, const std::string& what, std::int64_t found,
                 std::int64_t expected) {
  return fail(ErrorCode::internal, "account " + std::to_string(account) + ": " + what + " is " +
                                       std::to_string(found) + ", must be " +
                                       std::to_string(expected));
}

template <class T>
T take(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

}  // namespace

Audit::Audit(const Settings& settings) : settings_(settings), accounts_(settings.accounts) {}

Choice Audit::choose(std::uint32_t account, std::uint64_t number) const {
  const Rng rng(settings_.seed, ActorId::make(account, 0).word, number);
  return settings_.variant == Variant::random
             ? bank::Account::choose(rng, account, settings_.accounts)
             : PeerAccount::choose(rng, account, settings_.accounts);
}

Result<CutContent> Audit::check(const checkpoint::LoadedCheckpoint& checkpoint) {
  CutContent content;
  RK_TRY(read_slots(checkpoint));
  RK_TRY(advance());
  for (const checkpoint::LoadedMessage& message : checkpoint.messages) {
    RK_TRY(add_message(take<MessageHeader>(message.slot.data()),
                       message.slot.data() + sizeof(MessageHeader), content));
  }
  RK_TRY(compare());
  std::int64_t money = treasury_.balance + content.money;
  for (const Account& account : accounts_) {
    money += account.now.balance;
    content.made += account.now.made;
  }
  if (money != initial_total(settings_)) {
    return fail(ErrorCode::internal, "balances, treasury and money in flight make " +
                                         std::to_string(money) + ", must be " +
                                         std::to_string(initial_total(settings_)));
  }
  content.finished = content.made == settings_.transfers && content.messages() == 0;
  return content;
}

Result<void> Audit::read_slots(const checkpoint::LoadedCheckpoint& checkpoint) {
  if (checkpoint.slots.size() != accounts_.size()) {
    return fail(ErrorCode::internal, std::to_string(checkpoint.slots.size()) +
                                         " accounts in the checkpoint, must be " +
                                         std::to_string(accounts_.size()));
  }
  if (checkpoint.host_state.size() < sizeof(Treasury))
    return fail(ErrorCode::internal, "no treasury in the checkpoint");
  // the runtime's own part comes first
  treasury_ = take<Treasury>(checkpoint.host_state.data() + checkpoint.host_state.size() -
                             sizeof(Treasury));
  for (std::uint32_t i = 0; i < accounts_.size(); ++i) {
    const checkpoint::LoadedSlot& slot = checkpoint.slots[i];
    if (slot.id.word != i) return wrong(i, "its id", slot.id.word, i);
    Account& account = accounts_[i];
    const std::uint64_t made_before = account.now.made;
    if (settings_.variant == Variant::random) {
      account.now = take<bank::Account>(slot.state.data()).ledger;
    } else {
      const auto state = take<PeerAccount>(slot.state.data());
      account.now = state.ledger;
      std::copy_n(state.sent, kPeers, account.sent);
      std::copy_n(state.got, kPeers, account.got);
      for (std::uint32_t peer = 0; peer < kPeers; ++peer)
        account.next_in_pair[peer] = state.got[peer] + 1;
    }
    if (account.now.made < made_before)
      return wrong(i, "transfers made", static_cast<std::int64_t>(account.now.made),
                   static_cast<std::int64_t>(made_before));
    account.money_coming = 0;
    account.transfers_coming = account.deposits_coming = account.unacked = 0;
    account.starts_coming = 0;
  }
  return {};
}

/// Adds what was sent since the last cut to what its receivers must have.
Result<void> Audit::advance() {
  for (std::uint32_t i = 0; i < accounts_.size(); ++i) {
    Account& from = accounts_[i];
    if (from.now.made > share_of(settings_, i))
      return wrong(i, "transfers made", static_cast<std::int64_t>(from.now.made),
                   static_cast<std::int64_t>(share_of(settings_, i)));
    for (; from.counted < from.now.made; ++from.counted) {
      const Choice choice = choose(i, from.counted);
      from.paid_out += choice.amount;
      accounts_[choice.target].paid_in += choice.amount;
      ++accounts_[choice.target].transfers_in;
    }
  }
  if (treasury_.deposited < deposits_counted_)
    return fail(ErrorCode::internal, "the treasury went back in time");
  while (deposits_counted_ < treasury_.deposited) {
    const Choice choice = choose_deposit(settings_, ++deposits_counted_);
    accounts_[choice.target].deposited += choice.amount;
    ++accounts_[choice.target].deposits_in;
    deposits_money_ += choice.amount;
  }
  if (treasury_.balance != initial_treasury(settings_) - deposits_money_) {
    return fail(ErrorCode::internal, "the treasury holds " + std::to_string(treasury_.balance) +
                                         " after " + std::to_string(treasury_.deposited) +
                                         " deposits of " + std::to_string(deposits_money_));
  }
  return {};
}

Result<void> Audit::add_message(const MessageHeader& header, const std::byte* payload,
                                CutContent& content) {
  const std::uint32_t to = header.dst.index();
  const bool from_host = header.src == kHostId;
  if (to >= accounts_.size() || (!from_host && header.src.index() >= accounts_.size())) {
    return fail(ErrorCode::internal, "a message in flight between nobodies");
  }
  switch (header.tag) {
    case Transfer::tag: return add_transfer(header, take<Transfer>(payload), content);
    case Ack::tag:
      ++accounts_[to].unacked;
      ++content.acks;
      return {};
    case Start::tag:
      ++accounts_[to].starts_coming;
      ++content.starts;
      return {};
    case Deposit::tag: {
      const auto deposit = take<Deposit>(payload);
      const Choice choice = choose_deposit(settings_, deposit.number);
      if (deposit.number > treasury_.deposited || choice.target != to ||
          choice.amount != deposit.amount) {
        return fail(ErrorCode::internal,
                    "deposit " + std::to_string(deposit.number) + " in flight was not made so");
      }
      accounts_[to].money_coming += deposit.amount;
      ++accounts_[to].deposits_coming;
      content.money += deposit.amount;
      ++content.deposits;
      return {};
    }
    default:
      return fail(ErrorCode::internal,
                  "a message in flight with tag " + std::to_string(header.tag));
  }
}

Result<void> Audit::add_transfer(const MessageHeader& header, const Transfer& transfer,
                                 CutContent& content) {
  const std::uint32_t from = header.src.index();
  const std::uint32_t to = header.dst.index();
  Account& sender = accounts_[from];
  const Choice choice = choose(from, transfer.number);
  if (transfer.number >= sender.now.made || choice.target != to ||
      choice.amount != transfer.amount) {
    return fail(ErrorCode::internal, "account " + std::to_string(from) + ": transfer " +
                                         std::to_string(transfer.number) +
                                         " in flight was not made so");
  }
  if (settings_.variant == Variant::peers) {
    Account& receiver = accounts_[to];
    if (transfer.peer >= kPeers || transfer.pair_number != receiver.next_in_pair[transfer.peer]) {
      return wrong(from, "number in flight of its pair with " + std::to_string(to),
                   transfer.pair_number,
                   transfer.peer < kPeers ? receiver.next_in_pair[transfer.peer] : 0);
    }
    ++receiver.next_in_pair[transfer.peer];
  }
  ++sender.unacked;
  accounts_[to].money_coming += transfer.amount;
  ++accounts_[to].transfers_coming;
  content.money += transfer.amount;
  ++content.transfers;
  return {};
}

Result<void> Audit::compare() const {
  const auto same = [](std::uint32_t i, const char* what, std::uint64_t found,
                       std::uint64_t expected) -> Result<void> {
    if (found == expected) return {};
    return wrong(i, what, static_cast<std::int64_t>(found), static_cast<std::int64_t>(expected));
  };
  for (std::uint32_t i = 0; i < accounts_.size(); ++i) {
    const Account& a = accounts_[i];
    RK_TRY(same(i, "transfers received + in flight", a.now.received + a.transfers_coming,
                a.transfers_in));
    RK_TRY(same(i, "deposits received + in flight", a.now.deposits + a.deposits_coming,
                a.deposits_in));
    RK_TRY(same(i, "unacknowledged messages in flight", a.unacked, a.now.made - a.now.acked));
    RK_TRY(same(i, "starts handled + in flight", a.now.started + a.starts_coming,
                i < treasury_.started ? 1 : 0));
    const std::int64_t balance =
        kInitialBalance - a.paid_out + a.paid_in + a.deposited - a.money_coming;
    if (a.now.balance != balance) return wrong(i, "balance", a.now.balance, balance);
    if (settings_.variant == Variant::random) continue;
    for (std::uint32_t peer = 0; peer < kPeers; ++peer) {
      const std::uint32_t to = static_cast<std::uint32_t>(
          (std::uint64_t{i} + peer_distance(peer, settings_.accounts)) % settings_.accounts);
      RK_TRY(same(i, "transfers to a peer, handled or in flight",
                  accounts_[to].next_in_pair[peer] - 1, a.sent[peer]));
    }
  }
  return {};
}

}  // namespace rk::bank
