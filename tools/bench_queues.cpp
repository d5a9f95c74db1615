// `rk bench queues`: our rings beside Boost.Lockfree's queues; million messages per second.
#include <ringkernel/bench/queue_workload.hpp>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench_kinds.hpp"

namespace rk::tools {
namespace {

constexpr double kQueueBound = 2.0;
constexpr std::uint64_t kMessages = 1 << 16;
/// Transfers of a repetition, of which the fastest counts: where other programs want the cores,
/// most of them contain a moment in which one thread waited for its core and the other for it.
constexpr std::uint32_t kTransfers = 8;

template <class Queue>
std::function<Result<double>()> rate_of(std::uint32_t producers, std::uint64_t messages) {
  return [queue = std::make_shared<Queue>(), producers, messages]() -> Result<double> {
    double rate = 0;
    for (std::uint32_t i = 0; i < kTransfers; ++i) {
      const bench::Transfer done = bench::transfer(*queue, producers, messages);
      if (!done.intact) return fail(ErrorCode::corrupt, "a queue lost or tore messages");
      rate = std::max(rate, static_cast<double>(messages) / done.seconds / 1e6);
    }
    return rate;
  };
}

template <class Ours, class Peer>
Pair pair(const char* key, std::uint32_t producers, std::uint64_t messages,
          std::optional<double> bound) {
  return {key, Pair::Better::higher, bound, rate_of<Ours>(producers, messages),
          rate_of<Peer>(producers, messages)};
}

}  // namespace

Result<nlohmann::ordered_json> bench_queues(const BenchOptions& options) {
  using namespace bench;
  const std::uint64_t n = ((options.messages == 0 ? kMessages : options.messages) + 1) & ~1ull;
  return run_pairs({pair<OurStream<16>, PeerStream<16>>("spsc_16", 1, n, kQueueBound),
                    pair<OurStream<64>, PeerStream<64>>("spsc_64", 1, n, kQueueBound),
                    pair<OurInbox<64>, PeerInbox<64>>("inbox_1p1c", 1, n, kQueueBound),
                    pair<OurInbox<64>, PeerInbox<64>>("inbox_2p1c", 2, n, kQueueBound),
                    pair<OurLane<64>, PeerStream<64>>("h2k_64", 1, n, std::nullopt),
                    pair<OurLane<128>, PeerStream<128>>("h2k_128", 1, n, std::nullopt)},
                   options.repetitions);
}

}  // namespace rk::tools
