// A bank on a Runtime: accounts, the treasury that pays deposits from a thread of its own, and both
// parts of a checkpoint.
//
// Use: create; restore_loudly(runtime()) or begin(); open_teller(); runtime().run();
// close_teller(); runtime().stop(); totals(). Threads: one controlling thread. The teller's thread
// and the runtime's service thread change the treasury, both under the lane's lock.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include <ringkernel/runtime/runtime.hpp>

#include "bank.hpp"

namespace rk::bank {

enum class Variant : std::uint8_t { random, peers };

struct Settings {
  std::uint32_t accounts = 100'000;
  std::uint64_t transfers = 1'000'000;
  std::uint64_t seed = 1;
  std::uint64_t deposits = 10'000;
  Variant variant = Variant::random;
  /// Time between two deposits: spreads them over the run; changes no result.
  std::chrono::nanoseconds teller_pause = std::chrono::microseconds(50);
};

/// The application's part of a checkpoint.
struct Treasury {
  std::uint32_t version = 1;
  std::uint32_t started = 0;    ///< accounts that were sent their Start
  std::uint64_t deposited = 0;  ///< deposits made
  std::int64_t balance = 0;     ///< falls below zero when deposits ask for more
};

/// The `number`-th deposit (from 1): to whom, how much.
[[nodiscard]] Choice choose_deposit(const Settings& settings, std::uint64_t number);
[[nodiscard]] std::int64_t initial_total(const Settings& settings);
[[nodiscard]] std::int64_t initial_treasury(const Settings& settings);
/// Transfers that account `index` makes.
[[nodiscard]] std::uint64_t share_of(const Settings& settings, std::uint32_t index);
[[nodiscard]] std::uint32_t window_of(Variant variant);
/// What a checkpoint must agree with.
[[nodiscard]] std::map<std::string, std::string> identity(const Settings& settings);
/// Inboxes hold every message that can be in flight, twice, because the host may fill them to half
/// only.
[[nodiscard]] Capacities capacities(const Settings& settings);
[[nodiscard]] std::unique_ptr<Executor> make_host_bank(std::uint32_t lanes_per_worker = 1);

struct Totals {
  std::int64_t money = 0;  ///< balances and treasury; all of it when nothing is in flight
  std::uint64_t made = 0;
  std::uint64_t received = 0;
  std::uint64_t deposits = 0;
};

class Bank {
 public:
  static constexpr const char* kPrefix = "bank";

  /// `options` get the seed, the identity and, unless `keep_capacities`, the capacities from
  /// `settings`.
  [[nodiscard]] static Result<std::unique_ptr<Bank>> create(const Settings& settings,
                                                            std::unique_ptr<Executor> executor,
                                                            RuntimeOptions options,
                                                            bool keep_capacities = false);
  ~Bank() { close_teller(); }

  [[nodiscard]] Runtime& runtime() { return *runtime_; }
  /// Spawns the accounts; not after a restore.
  [[nodiscard]] Result<void> begin();
  /// Starts the workers and the teller's thread.
  [[nodiscard]] Result<void> open_teller();
  void close_teller();
  /// After Runtime::stop().
  [[nodiscard]] Result<Totals> totals();

 private:
  explicit Bank(const Settings& settings) : settings_(settings) {
    treasury_.balance = initial_treasury(settings);
  }
  [[nodiscard]] FeedState feed(Feed& out);
  void serve();
  template <class A>
  [[nodiscard]] Result<void> start_accounts(Feed& out);
  template <class A>
  [[nodiscard]] Result<void> deposit(Feed& out);

  Settings settings_;
  Treasury treasury_;  ///< under the lane's lock
  std::atomic<bool> closing_{false};
  std::unique_ptr<Runtime> runtime_;
  std::thread teller_;
};

}  // namespace rk::bank
