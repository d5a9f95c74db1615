// Two players pass a ball a million times. Stop it any way you like, kill -9 included; the same
// command goes on where the last checkpoint was.
//
//   example_ping_pong [DIRECTORY]
#include <ringkernel/kernels/host_executor.hpp>
#include <ringkernel/runtime/runtime.hpp>

#include <cstdio>

using namespace std::chrono_literals;

struct Ball {
  static constexpr std::uint8_t tag = 1;  // identifies the message type
  std::uint64_t passes;
};

// Trivially copyable, no pointers: this struct is what a checkpoint holds.
struct Player {
  using messages = rk::handles<Ball>;
  static constexpr const char* name = "player";
  rk::ref<Player> other;
  std::uint64_t seen = 0;

  template <class Ctx>
  RK_FN void on(const Ball& ball, Ctx& ctx) {
    ++seen;
    if (ball.passes < 1'000'000) ctx.send(other, Ball{ball.passes + 1});
  }
};

rk::Result<std::uint64_t> play(const std::string& directory) {
  RK_TRY_ASSIGN(
      auto runtime,
      rk::Runtime::create(rk::make_host_executor<Player>(),
                          {.workers = 2, .checkpoint = {.dir = directory, .every = 200ms}}));
  RK_TRY_ASSIGN(const rk::RestoreReport restored, runtime->restore_latest());
  if (restored.restored) {
    std::printf("resumed from %s\n", restored.directory.c_str());
  } else {
    RK_TRY(runtime->spawn<Player>(
        2, [](std::uint32_t i, Player& player) { player.other = {rk::ActorId::make(1 - i, 0)}; }));
    RK_TRY(runtime->start());
    RK_TRY(runtime->send(rk::ref<Player>{rk::ActorId::make(0, 0)}, Ball{1}));
  }
  RK_TRY(runtime->run());  // returns when no message is in flight
  RK_TRY(runtime->stop());
  std::uint64_t seen = 0;
  for (std::uint32_t i = 0; i < 2; ++i) {
    RK_TRY_ASSIGN(const Player player, runtime->read(rk::ref<Player>{rk::ActorId::make(i, 0)}));
    seen += player.seen;
  }
  return seen;
}

int main(int argc, char** argv) {
  const auto seen = play(argc > 1 ? argv[1] : "ping_pong_checkpoints");
  if (!seen) {
    std::fprintf(stderr, "%s\n", seen.error().message.c_str());
    return rk::exit_code(seen.error().code);
  }
  std::printf("%llu passes\n", static_cast<unsigned long long>(*seen));
}
