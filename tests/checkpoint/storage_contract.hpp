// What storage.hpp promises, as one suite that every store runs. To add a store, give
// storage_contract_test.cpp one more ContractStore; to run it against any location:
//
//   RK_STORAGE_CONTRACT=s3://bucket/prefix test_checkpoint --gtest_filter='Env/StorageContract.*'
//
// Each test gets a root of its own below that location and empties it at its end.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <ringkernel/checkpoint/location.hpp>
#include <ringkernel/checkpoint/storage.hpp>
#include <string>
#include <vector>

namespace rk::checkpoint::test {

/// One root of a store while one test runs.
struct ContractRoot {
  /// Another object over the same root, as another process would open it.
  std::function<Result<std::shared_ptr<Storage>>()> open;
  /// Removes the root; called when every object is gone.
  std::function<void()> discard = [] {};
};

struct ContractStore {
  std::string name;  ///< letters and digits
  bool has_locks = true;
  bool has_directories = true;  ///< else make_directory and the like may do nothing
  /// A fresh, empty root, not created yet.
  std::function<ContractRoot()> make_root;
};

inline std::ostream& operator<<(std::ostream& out, const ContractStore& store) {
  return out << store.name;
}

/// Removes everything in the root through the seam.
inline void empty_root(Storage& storage) {
  const auto entries = storage.list("");
  if (!entries) return;
  for (const auto& entry : *entries) {
    if (entry.kind == StorageEntry::Kind::file) (void)storage.remove(entry.name);
    if (entry.kind != StorageEntry::Kind::directory) continue;
    const auto inner = storage.list(entry.name);
    if (inner) {
      for (const auto& file : *inner) (void)storage.remove(entry.name + "/" + file.name);
    }
    (void)storage.remove_directory(entry.name);
  }
}

/// A store that open_storage knows. Each root is `text` with a unique end before any '?'.
inline ContractStore contract_store_at(std::string name, const std::string& text) {
  const auto location = parse_location(text);
  const std::string scheme = location ? location->scheme : std::string();
  ContractStore store{.name = std::move(name),
                      .has_locks = scheme != "s3",
                      .has_directories = scheme.empty(),
                      .make_root = {}};
  store.make_root = [text, scheme] {
    static std::atomic<unsigned> counter{0};
    const std::string unique =
        "contract-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
    const auto end = scheme.empty() ? text.size() : std::min(text.find('?'), text.size());
    const std::string own =
        text.substr(0, end) + (scheme == "shm" ? "-" : "/") + unique + text.substr(end);
    return ContractRoot{.open = [own] { return open_storage(own); },
                        .discard =
                            [own] {
                              if (auto storage = open_storage(own)) empty_root(**storage);
                            }};
  };
  return store;
}

class StorageContract : public ::testing::TestWithParam<ContractStore> {
 protected:
  void SetUp() override {
    root_ = GetParam().make_root();
    storage_ = another();
  }
  void TearDown() override {
    storage_.reset();
    root_.discard();
  }
  std::shared_ptr<Storage> another() {
    auto opened = root_.open();
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
    return opened ? *opened : nullptr;
  }

  ContractRoot root_;
  std::shared_ptr<Storage> storage_;
};

}  // namespace rk::checkpoint::test
