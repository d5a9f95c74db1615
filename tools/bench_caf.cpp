#include <ringkernel/bench/caf_workload.hpp>

#if defined(RK_HAVE_CAF)

#include <atomic>
#include <caf/all.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

namespace rk::bench::caf_peer {
namespace {

/// Opens when it was counted down so often. One atomic step per count.
class Latch {
 public:
  explicit Latch(std::uint64_t count) : left_(count) {}
  void count_down() {
    if (left_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }

 private:
  std::atomic<std::uint64_t> left_;
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

/// A running actor system of so many threads.
class System {
 public:
  explicit System(std::uint32_t threads) : system_(configure(config_, threads)) {}
  caf::actor_system& operator*() { return system_; }
  caf::actor_system* operator->() { return &system_; }

 private:
  static caf::actor_system_config& configure(caf::actor_system_config& config,
                                             std::uint32_t threads) {
    config.set("scheduler.max-threads", std::size_t{threads});
    return config;
  }
  caf::actor_system_config config_;
  caf::actor_system system_;
};

/// Handles of a whole workload. They form cycles (a ring), so they belong to nobody of it, and
/// actors use them by reference.
using Actors = std::vector<caf::actor>;

void end(Actors& actors) {
  for (auto& actor : actors) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  actors.clear();
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Relay : public caf::event_based_actor {
 public:
  Relay(caf::actor_config& config, const caf::actor* next, Latch* latch)
      : caf::event_based_actor(config), next_(next), done_(latch) {}
  caf::behavior make_behavior() override {
    return {[this](std::uint64_t hops) {
      if (hops == 0) return done_->count_down();
      send(*next_, hops - 1);
    }};
  }

 private:
  const caf::actor* next_;
  Latch* done_;
};

class Wanderer : public caf::event_based_actor {
 public:
  Wanderer(caf::actor_config& config, const Actors* all, std::uint64_t seed, Latch* latch)
      : caf::event_based_actor(config), all_(all), random_(seed * 2 + 1), done_(latch) {}
  caf::behavior make_behavior() override {
    return {[this](std::uint64_t hops) {
      if (hops == 0) return done_->count_down();
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      send((*all_)[random_ % all_->size()], hops - 1);
    }};
  }

 private:
  const Actors* all_;
  std::uint64_t random_;
  Latch* done_;
};

class Collector : public caf::event_based_actor {
 public:
  Collector(caf::actor_config& config, std::uint64_t expected, Latch* latch)
      : caf::event_based_actor(config), left_(expected), done_(latch) {}
  caf::behavior make_behavior() override {
    return {[this](std::uint64_t number) {
      sum_ += number;
      if (--left_ == 0) done_->count_down();
    }};
  }

 private:
  std::uint64_t left_;
  std::uint64_t sum_ = 0;
  Latch* done_;
};

class Feeder : public caf::event_based_actor {
 public:
  Feeder(caf::actor_config& config, const caf::actor* collector)
      : caf::event_based_actor(config), collector_(collector) {}
  caf::behavior make_behavior() override {
    // mailboxes have no bound here, so one handler may send everything
    return {[this](std::uint64_t items) {
      for (; items > 0; --items) send(*collector_, items);
    }};
  }

 private:
  const caf::actor* collector_;
};

class Spawner : public caf::event_based_actor {
 public:
  Spawner(caf::actor_config& config, Latch* latch) : caf::event_based_actor(config), done_(latch) {}
  caf::behavior make_behavior() override {
    return {[this](std::uint64_t count) {
      for (std::uint64_t i = 0; i < kBrood && count > 0; ++i, --count)
        spawn<Relay, caf::lazy_init>(nullptr, done_);
      count > 0 ? send(this, count) : done_->count_down();
    }};
  }

 private:
  static constexpr std::uint64_t kBrood = 32;
  Latch* done_;
};

template <class Send>
double timed(Latch& done, Send send) {
  const auto start = std::chrono::steady_clock::now();
  send();
  done.wait();
  return seconds_since(start);
}

}  // namespace

bool available() { return true; }

double ring_seconds(std::uint32_t actors, std::uint32_t tokens, std::uint64_t messages,
                    std::uint32_t threads) {
  Latch done(tokens);
  Actors relays(actors);
  System system(threads);
  for (std::uint32_t i = 0; i < actors; ++i)
    relays[i] = system->spawn<Relay>(&relays[(i + 1) % actors], &done);
  const double seconds = timed(done, [&] {
    for (std::uint32_t t = 0; t < tokens; ++t)
      caf::anon_send(relays[std::uint64_t{t} * actors / tokens], messages / tokens - 1);
  });
  end(relays);
  return seconds;
}

double fan_in_seconds(std::uint32_t feeders, std::uint64_t messages, std::uint32_t threads) {
  Latch done(1);
  System system(threads);
  Actors collectors = {system->spawn<Collector>(messages / feeders * feeders, &done)};
  Actors sources;
  for (std::uint32_t i = 0; i < feeders; ++i)
    sources.push_back(system->spawn<Feeder>(&collectors[0]));
  const double seconds = timed(done, [&] {
    for (const auto& source : sources) caf::anon_send(source, messages / feeders);
  });
  end(sources);
  end(collectors);
  return seconds;
}

double random_seconds(std::uint32_t population, std::uint32_t tokens, std::uint64_t messages,
                      std::uint32_t threads) {
  Latch done(tokens);
  Actors wanderers(population);
  System system(threads);
  for (std::uint32_t i = 0; i < population; ++i)
    wanderers[i] = system->spawn<Wanderer>(&wanderers, i, &done);
  const double seconds = timed(done, [&] {
    for (std::uint32_t t = 0; t < tokens; ++t)
      caf::anon_send(wanderers[std::uint64_t{t} * population / tokens], messages / tokens - 1);
  });
  end(wanderers);
  return seconds;
}

double spawn_seconds(std::uint64_t count, std::uint32_t threads) {
  Latch done(1);
  System system(threads);
  Actors spawners = {system->spawn<Spawner>(&done)};
  const double seconds = timed(done, [&] { caf::anon_send(spawners[0], count); });
  end(spawners);
  return seconds;
}

double bytes_per_actor(std::uint32_t population, std::uint32_t threads,
                       const std::function<double()>& resident) {
  Latch done(population);
  System system(threads);
  const double before = resident();
  Actors relays(population);
  for (auto& relay : relays) relay = system->spawn<Relay>(nullptr, &done);
  for (const auto& relay : relays) caf::anon_send(relay, std::uint64_t{0});
  done.wait();
  const double grown = resident() - before;
  end(relays);
  return grown / population;
}

}  // namespace rk::bench::caf_peer

#else

namespace rk::bench::caf_peer {
bool available() { return false; }
double ring_seconds(std::uint32_t, std::uint32_t, std::uint64_t, std::uint32_t) { return 0; }
double fan_in_seconds(std::uint32_t, std::uint64_t, std::uint32_t) { return 0; }
double random_seconds(std::uint32_t, std::uint32_t, std::uint64_t, std::uint32_t) { return 0; }
double spawn_seconds(std::uint64_t, std::uint32_t) { return 0; }
double bytes_per_actor(std::uint32_t, std::uint32_t, const std::function<double()>&) { return 0; }
}  // namespace rk::bench::caf_peer

#endif
