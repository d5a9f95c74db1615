// Tiers: what is acknowledged is there; slow, failing and dying tiers lose nothing.
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <ringkernel/checkpoint/faulty_storage.hpp>
#include <ringkernel/checkpoint/memory_storage.hpp>
#include <ringkernel/checkpoint/tiers.hpp>
#include <thread>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

using namespace std::chrono_literals;

// Holds each publish back until the test lets it go.
class GatedStorage final : public Storage {
 public:
  explicit GatedStorage(std::shared_ptr<Storage> inner) : inner_(std::move(inner)) {}

  /// Lets `count` more publishes pass.
  void let(std::uint64_t count) {
    const std::lock_guard lock(mutex_);
    allowed_ += count;
    changed_.notify_all();
  }
  /// Waits until `count` publishes have come to the gate.
  void wait_arrived(std::uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }

  Result<void> publish(std::string_view path, Bytes bytes, Overwrite overwrite) override {
    {
      std::unique_lock lock(mutex_);
      const std::uint64_t ticket = ++arrived_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return allowed_ >= ticket; });
    }
    return inner_->publish(path, bytes, overwrite);
  }
  Result<void> create_root() override { return inner_->create_root(); }
  Result<std::unique_ptr<WritableFile>> create(std::string_view path) override {
    return inner_->create(path);
  }
  Result<void> make_directory(std::string_view path) override {
    return inner_->make_directory(path);
  }
  Result<void> remove(std::string_view path) override { return inner_->remove(path); }
  Result<void> remove_directory(std::string_view path) override {
    return inner_->remove_directory(path);
  }
  Result<void> sync_directory(std::string_view path) override {
    return inner_->sync_directory(path);
  }
  Result<std::vector<StorageEntry>> list(std::string_view path) override {
    return inner_->list(path);
  }
  Result<std::uint64_t> file_bytes(std::string_view path) override {
    return inner_->file_bytes(path);
  }
  Result<void> read(std::string_view path, std::uint64_t offset,
                    std::span<std::byte> out) override {
    return inner_->read(path, offset, out);
  }
  Result<std::unique_ptr<StorageLock>> lock() override { return inner_->lock(); }
  std::string describe(std::string_view path) const override { return inner_->describe(path); }

 private:
  std::shared_ptr<Storage> inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t allowed_ = 0;
  std::uint64_t arrived_ = 0;
};

// Wakes tests that wait for a state of the tiers; bounded only by the test's own time limit.
class Bell {
 public:
  void ring() {
    const std::lock_guard lock(mutex_);
    ++rung_;
    changed_.notify_all();
  }
  template <class Condition>
  void wait(Condition condition) {
    std::unique_lock lock(mutex_);
    while (true) {
      const auto seen = rung_;
      lock.unlock();
      if (condition()) return;
      lock.lock();
      changed_.wait(lock, [&] { return rung_ != seen; });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t rung_ = 0;
};

class TiersTest : public ::testing::Test {
 protected:
  void open(std::vector<std::shared_ptr<Storage>> stores, std::size_t ack,
            std::vector<std::uint32_t> keep = {}) {
    std::vector<Tier> tiers;
    for (std::size_t i = 0; i < stores.size(); ++i) {
      tiers.push_back({.name = "tier" + std::to_string(i),
                       .storage = stores[i],
                       .keep = i < keep.size() ? keep[i] : 10});
    }
    auto opened =
        Tiers::open("sim", std::move(tiers), {.ack = ack, .first_backoff = 1ms, .max_backoff = 2ms},
                    [this] { bell_.ring(); });
    ASSERT_OK(opened);
    tiers_ = *std::move(opened);
  }
  void start() { ASSERT_OK(tiers_->start("run1")); }
  void commit(std::uint64_t epoch, std::optional<std::uint64_t> parent = std::nullopt) {
    ASSERT_OK(write_checkpoint(tiers_->directory(0), epoch, "run1",
                               static_cast<std::uint32_t>(epoch), parent));
    tiers_->committed({.prefix = "sim", .epoch = epoch, .run_id = "run1"});
    ASSERT_OK(tiers_->retain(epoch));
  }
  static std::vector<std::uint64_t> valid_epochs(const std::shared_ptr<Storage>& store) {
    std::vector<std::uint64_t> epochs;
    const auto entries = list_checkpoints(*store, Depth::shards);
    EXPECT_TRUE(entries.has_value());
    for (const auto& entry : *entries) {
      EXPECT_NE(entry.state, CheckpointState::corrupt) << entry.reason;
      if (entry.state == CheckpointState::valid) epochs.push_back(entry.name.epoch);
    }
    return epochs;
  }
  void wait_acknowledged(std::uint64_t epoch) {
    bell_.wait([&] {
      const auto name = tiers_->acknowledged();
      return name && name->epoch >= epoch;
    });
  }

  std::shared_ptr<MemoryStorage> a_ = std::make_shared<MemoryStorage>();
  std::shared_ptr<MemoryStorage> b_ = std::make_shared<MemoryStorage>();
  std::shared_ptr<MemoryStorage> c_ = std::make_shared<MemoryStorage>();
  Bell bell_;
  std::unique_ptr<Tiers> tiers_;
};

TEST_F(TiersTest, a_checkpoint_reaches_every_tier_byte_for_byte) {
  open({a_, b_, c_}, 2);
  start();
  commit(1);
  wait_acknowledged(1);
  const auto files = a_->list("sim-1-run1");
  ASSERT_OK(files);
  for (const auto& store : {b_, c_}) {
    ASSERT_EQ(valid_epochs(store), std::vector<std::uint64_t>{1});
    for (const auto& file : *files) {
      const std::string path = "sim-1-run1/" + file.name;
      EXPECT_EQ(*read_all(*store, path, 1 << 20), *read_all(*a_, path, 1 << 20)) << path;
    }
  }
  EXPECT_EQ(tiers_->states()[2].promoted, 1u);
  EXPECT_GT(tiers_->states()[2].promoted_bytes, 0u);
}

TEST_F(TiersTest, nothing_is_acknowledged_before_the_named_tier_has_it) {
  const auto slow = std::make_shared<GatedStorage>(b_);
  open({a_, slow}, 1);
  start();
  commit(1);
  slow->wait_arrived(1);  // everything but the MANIFEST is there
  EXPECT_FALSE(tiers_->acknowledged().has_value());
  EXPECT_EQ(valid_epochs(b_).size(), 0u);
  slow->let(1);
  wait_acknowledged(1);
  EXPECT_EQ(valid_epochs(b_), std::vector<std::uint64_t>{1});
}

TEST_F(TiersTest, a_slow_hop_goes_on_with_the_newest_and_its_source_is_never_removed_under_it) {
  const auto slow = std::make_shared<GatedStorage>(b_);
  open({a_, slow}, 1, {1, 10});
  start();
  commit(1);
  slow->wait_arrived(1);
  for (std::uint64_t epoch = 2; epoch <= 6; ++epoch) commit(epoch);
  // Only the newest and the one being read stay.
  EXPECT_EQ(valid_epochs(a_), (std::vector<std::uint64_t>{1, 6}));
  slow->let(2);
  wait_acknowledged(6);
  EXPECT_EQ(valid_epochs(b_), (std::vector<std::uint64_t>{1, 6}));
  EXPECT_EQ(tiers_->states()[1].passed_over, 4u);
  EXPECT_EQ(tiers_->states()[1].failures, 0u);
  ASSERT_OK(tiers_->retain(6));
  EXPECT_EQ(valid_epochs(a_), std::vector<std::uint64_t>{6});
}

TEST_F(TiersTest, parents_that_a_tier_lacks_go_before_the_increment) {
  const auto slow = std::make_shared<GatedStorage>(b_);
  open({a_, slow}, 1);
  start();
  commit(1);
  slow->wait_arrived(1);
  commit(2);
  commit(3, 2);
  commit(4, 3);
  slow->let(1);
  slow->wait_arrived(2);
  EXPECT_EQ(valid_epochs(b_), std::vector<std::uint64_t>{1}) << "the parent comes first";
  slow->let(1);
  slow->wait_arrived(3);
  EXPECT_EQ(valid_epochs(b_), (std::vector<std::uint64_t>{1, 2}));
  slow->let(10);
  wait_acknowledged(4);
  EXPECT_EQ(valid_epochs(b_), (std::vector<std::uint64_t>{1, 2, 3, 4}));
}

TEST_F(TiersTest, a_failing_tier_is_retried_counted_and_reported) {
  for (std::uint64_t at = 2; at <= 14; ++at) {  // 1 is create_root, at the start
    SCOPED_TRACE("call " + std::to_string(at));
    a_ = std::make_shared<MemoryStorage>();
    b_ = std::make_shared<MemoryStorage>();
    const auto faulty = std::make_shared<FaultyStorage>(b_, FaultPlan{.at_call = at});
    open({a_, faulty}, 1);
    start();
    commit(1);
    wait_acknowledged(1);
    const auto state = tiers_->states()[1];
    EXPECT_EQ(state.failures, 1u);
    EXPECT_NE(state.last_failure.find("injected"), std::string::npos) << state.last_failure;
    EXPECT_EQ(valid_epochs(b_), std::vector<std::uint64_t>{1});
    tiers_.reset();
  }
}

TEST_F(TiersTest, a_tier_that_dies_harms_no_other_and_acknowledges_nothing) {
  const auto dead = std::make_shared<FaultyStorage>(
      c_, FaultPlan{.at_call = 4, .action = FaultPlan::Action::fail_after});
  open({a_, b_, dead}, 1, {2, 2, 2});
  start();
  for (std::uint64_t epoch = 1; epoch <= 4; ++epoch) {
    commit(epoch);
    wait_acknowledged(epoch);
  }
  bell_.wait([&] { return tiers_->states()[2].failures >= 3; });
  EXPECT_FALSE(tiers_->settle(1h)) << "a failure ends the wait";
  EXPECT_EQ(valid_epochs(c_).size(), 0u);
  EXPECT_EQ(valid_epochs(b_).back(), 4u);
  EXPECT_FALSE(tiers_->states()[2].newest.has_value());
}

TEST_F(TiersTest, a_damaged_source_is_not_promoted_and_the_next_one_is) {
  open({a_, b_}, 1);
  ASSERT_OK(write_checkpoint(tiers_->directory(0), 1, "run1", 1));
  const std::string path = "sim-1-run1/shard-00-0000.rkcp";
  auto bytes = *read_all(*a_, path, 1 << 20);
  bytes[200] ^= std::byte{1};
  ASSERT_OK(a_->publish(path, bytes, Overwrite::replace));
  start();  // finds it by its MANIFEST
  bell_.wait([&] { return tiers_->states()[1].failures == 1; });
  EXPECT_EQ(valid_epochs(b_).size(), 0u);
  EXPECT_TRUE(b_->list("")->empty()) << "nothing of it stays";
  commit(2);
  wait_acknowledged(2);
  EXPECT_EQ(valid_epochs(b_), std::vector<std::uint64_t>{2});
  EXPECT_EQ(tiers_->states()[1].failures, 1u) << "the damaged one is not tried again";
}

TEST_F(TiersTest, a_copy_that_a_death_interrupted_is_made_up_for_by_the_next_run) {
  // The first run dies with one checkpoint in the first tier and half of it in the second.
  {
    auto directory = CheckpointDirectory::open(a_, "sim");
    ASSERT_OK(write_checkpoint(*directory, 7, "run1", 7));
    ASSERT_OK(b_->make_directory("sim-7-run1"));
    auto file = b_->create("sim-7-run1/shard-00-0000.rkcp");
    ASSERT_OK(file);
    ASSERT_OK((*file)->append(bytes_of("half")));
  }
  open({a_, b_}, 1);
  EXPECT_EQ(*tiers_->next_epoch(), 8u);
  start();
  wait_acknowledged(7);
  EXPECT_EQ(valid_epochs(b_), std::vector<std::uint64_t>{7});
}

TEST_F(TiersTest, stopping_gives_a_copy_up_and_leaves_nothing_that_counts) {
  const auto slow = std::make_shared<GatedStorage>(b_);
  open({a_, slow}, 1);
  start();
  commit(1);
  slow->wait_arrived(1);
  std::thread stopper([&] { tiers_->stop(); });
  slow->let(1);
  stopper.join();
  // It was past its last question: the copy is whole, or nothing.
  EXPECT_LE(valid_epochs(b_).size(), 1u);
}

TEST_F(TiersTest, restore_finds_the_newest_valid_in_any_tier) {
  for (const auto& [store, epochs] : std::map<std::shared_ptr<Storage>, std::vector<std::uint64_t>>{
           {b_, {1, 2, 3}}, {c_, {1, 2}}}) {
    auto directory = CheckpointDirectory::open(store, "sim");
    for (const auto epoch : epochs) {
      ASSERT_OK(write_checkpoint(*directory, epoch, "run1", static_cast<std::uint32_t>(epoch)));
    }
  }
  open({a_, b_, c_}, 0);
  auto found = tiers_->newest_valid();
  ASSERT_OK(found);
  EXPECT_EQ(found->tier, 1u);
  EXPECT_EQ(found->found.entry->name.epoch, 3u);
  EXPECT_TRUE(found->found.skipped.empty());

  ASSERT_OK(b_->remove("sim-3-run1/shard-00-0000.rkcp"));
  ASSERT_OK(b_->remove("sim-2-run1/shard-00-0000.rkcp"));
  found = tiers_->newest_valid();
  ASSERT_OK(found);
  EXPECT_EQ(found->tier, 2u);
  EXPECT_EQ(found->found.entry->name.epoch, 2u);
  ASSERT_EQ(found->found.skipped.size(), 1u) << "what another tier had whole was not passed over";
  EXPECT_EQ(found->found.skipped[0].directory, "sim-3-run1");
}

TEST_F(TiersTest, each_tier_keeps_its_own_number) {
  open({a_, b_, c_}, 2, {1, 2, 3});
  start();
  for (std::uint64_t epoch = 1; epoch <= 6; ++epoch) {
    commit(epoch);
    wait_acknowledged(epoch);
    ASSERT_TRUE(tiers_->settle(1h));
  }
  tiers_->stop();  // the last removals are done
  ASSERT_OK(tiers_->retain(6));
  EXPECT_EQ(valid_epochs(a_), std::vector<std::uint64_t>{6});
  EXPECT_EQ(valid_epochs(b_), (std::vector<std::uint64_t>{5, 6}));
  EXPECT_EQ(valid_epochs(c_), (std::vector<std::uint64_t>{4, 5, 6}));
}

TEST_F(TiersTest, a_tier_in_use_by_another_writer_and_wrong_settings_are_refused) {
  const auto lock = b_->lock();
  ASSERT_OK(lock);
  const auto opened =
      Tiers::open("sim", {{.name = "a", .storage = a_}, {.name = "b", .storage = b_}}, {.ack = 1});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::locked);
  EXPECT_FALSE(Tiers::open("sim", {}, {}).has_value());
  EXPECT_FALSE(Tiers::open("sim", {{.name = "a", .storage = a_}}, {.ack = 1}).has_value());
  EXPECT_FALSE(Tiers::open("sim", {{.name = "a", .storage = a_, .keep = 0}}, {}).has_value());
}

}  // namespace
}  // namespace rk::checkpoint::test
