#include "simulation.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include <ringkernel/kernels/host_executor.hpp>

namespace rk::bank {
namespace {

constexpr std::uint64_t kDepositSeed = 0xD1B54A32D192ED03;

}  // namespace

Choice choose_deposit(const Settings& settings, std::uint64_t number) {
  Rng rng(settings.seed ^ kDepositSeed, kHostId.word, number);
  const std::uint32_t target = rng.below(settings.accounts);
  return {target, 0, 1 + static_cast<std::int32_t>(rng.below(100))};
}

std::int64_t initial_treasury(const Settings& settings) {
  return static_cast<std::int64_t>(settings.deposits) * 100;
}

std::int64_t initial_total(const Settings& settings) {
  return initial_treasury(settings) + std::int64_t{settings.accounts} * kInitialBalance;
}

std::uint64_t share_of(const Settings& settings, std::uint32_t index) {
  return settings.transfers / settings.accounts +
         (index < settings.transfers % settings.accounts ? 1 : 0);
}

std::uint32_t window_of(Variant variant) {
  return variant == Variant::random ? Account::kWindow : PeerAccount::kWindow;
}

std::map<std::string, std::string> identity(const Settings& settings) {
  return {{"accounts", std::to_string(settings.accounts)},
          {"transfers", std::to_string(settings.transfers)},
          {"seed", std::to_string(settings.seed)},
          {"deposits", std::to_string(settings.deposits)},
          {"variant", settings.variant == Variant::random ? "random" : "peers"}};
}

Capacities capacities(const Settings& settings) {
  Capacities capacity;
  capacity.local_slots = std::bit_ceil(settings.accounts * window_of(settings.variant));
  capacity.inbox_slots = 2 * capacity.local_slots;
  capacity.slab_blocks = 1;
  return capacity;
}

std::unique_ptr<Executor> make_host_bank(std::uint32_t lanes_per_worker) {
  return make_host_executor<Account, PeerAccount>({.lanes_per_worker = lanes_per_worker});
}

Result<std::unique_ptr<Bank>> Bank::create(const Settings& settings,
                                           std::unique_ptr<Executor> executor,
                                           RuntimeOptions options, bool keep_capacities) {
  if (settings.accounts <= kPeers || settings.accounts > 1'000'000) {
    return fail(ErrorCode::invalid_argument,
                "a bank has " + std::to_string(kPeers + 1) + " to 1000000 accounts");
  }
  if (settings.transfers / settings.accounts >= 0xFFFFFFFF) {
    return fail(ErrorCode::invalid_argument, "an account makes at most 2^32 - 2 transfers");
  }
  options.seed = settings.seed;
  options.checkpoint.prefix = kPrefix;
  options.checkpoint.identity = identity(settings);
  if (!keep_capacities) options.capacity = capacities(settings);
  auto bank = std::unique_ptr<Bank>(new Bank(settings));
  RK_TRY_ASSIGN(bank->runtime_, Runtime::create(std::move(executor), std::move(options)));
  Bank& self = *bank;
  self.runtime_->on_feed([&self](Feed& out) { return self.feed(out); });
  self.runtime_->on_cut(
      [&self] {
        std::vector<std::byte> bytes(sizeof(Treasury));
        std::memcpy(bytes.data(), &self.treasury_, sizeof(Treasury));
        return bytes;
      },
      [&self](std::span<const std::byte> bytes) -> Result<void> {
        if (bytes.size() != sizeof(Treasury))
          return fail(ErrorCode::incompatible, "the checkpoint holds another treasury");
        std::memcpy(&self.treasury_, bytes.data(), sizeof(Treasury));
        return {};
      });
  return bank;
}

Result<void> Bank::begin() {
  const auto init = [this](std::uint32_t index, auto& account) {
    account.ledger.share = share_of(settings_, index);
    account.ledger.accounts = settings_.accounts;
  };
  if (settings_.variant == Variant::random) {
    RK_TRY(runtime_->spawn<Account>(settings_.accounts, init));
  } else {
    RK_TRY(runtime_->spawn<PeerAccount>(settings_.accounts, init));
  }
  return {};
}

template <class A>
Result<void> Bank::start_accounts(Feed& out) {
  while (treasury_.started < settings_.accounts) {
    RK_TRY(out.send(ref<A>{ActorId::make(treasury_.started, 0)}, Start{}));
    ++treasury_.started;
  }
  return {};
}

template <class A>
Result<void> Bank::deposit(Feed& out) {
  const std::uint64_t number = treasury_.deposited + 1;
  const Choice choice = choose_deposit(settings_, number);
  RK_TRY(out.send(ref<A>{ActorId::make(choice.target, 0)}, Deposit{choice.amount, number}));
  treasury_.deposited = number;
  treasury_.balance -= choice.amount;
  return {};
}

FeedState Bank::feed(Feed& out) {
  // a full ring is no error here: the next call goes on
  (void)(settings_.variant == Variant::random ? start_accounts<Account>(out)
                                              : start_accounts<PeerAccount>(out));
  const bool ended =
      treasury_.started == settings_.accounts && treasury_.deposited == settings_.deposits;
  return ended ? FeedState::ended : FeedState::more;
}

Result<void> Bank::open_teller() {
  RK_TRY(runtime_->start());
  closing_ = false;
  teller_ = std::thread([this] { serve(); });
  return {};
}

void Bank::close_teller() {
  closing_ = true;
  if (teller_.joinable()) teller_.join();
}

void Bank::serve() {
  bool more = true;
  while (more && !closing_) {
    const auto sent = runtime_->atomically([this, &more](Feed& out) -> Result<void> {
      more = treasury_.deposited < settings_.deposits;
      if (!more) return {};
      return settings_.variant == Variant::random ? deposit<Account>(out)
                                                  : deposit<PeerAccount>(out);
    });
    if (!sent && sent.error().code != ErrorCode::would_block) return;
    std::this_thread::sleep_for(settings_.teller_pause);
  }
}

Result<Totals> Bank::totals() {
  Totals totals;
  totals.money = treasury_.balance;
  RK_TRY(runtime_->for_each_slot(
      [&](const SlotHeader&, std::span<const std::byte> state, std::span<const std::byte>) {
        Ledger ledger;
        std::memcpy(&ledger, state.data(), sizeof(ledger));
        totals.money += ledger.balance;
        totals.made += ledger.made;
        totals.received += ledger.received;
        totals.deposits += ledger.deposits;
      }));
  return totals;
}

}  // namespace rk::bank
