#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <ringkernel/checkpoint/faulty_storage.hpp>

namespace rk::checkpoint {

struct FaultyStorage::Faults {
  FaultPlan plan;
  std::atomic<std::uint64_t> calls{0};

  [[nodiscard]] bool is_torn(std::uint64_t call) const {
    return call == plan.at_call && plan.action == FaultPlan::Action::torn_kill;
  }
  [[noreturn]] static void die() {
    ::kill(::getpid(), SIGKILL);
    std::abort();
  }
  // relaxed: only the number matters, it publishes nothing.
  std::uint64_t count() { return calls.fetch_add(1, std::memory_order_relaxed) + 1; }

  Result<void> check(std::uint64_t call) {
    if (plan.at_call == 0 || call < plan.at_call) return {};
    switch (plan.action) {
      case FaultPlan::Action::kill:
      case FaultPlan::Action::torn_kill:
        if (call == plan.at_call) die();
        return {};
      case FaultPlan::Action::fail:
        if (call != plan.at_call) return {};
        return unexpected(plan.error);
      case FaultPlan::Action::fail_after: return unexpected(plan.error);
    }
    return {};
  }
  Result<void> step() { return check(count()); }
};

namespace {

class FaultyFile final : public WritableFile {
 public:
  FaultyFile(std::unique_ptr<WritableFile> inner, std::shared_ptr<FaultyStorage::Faults> faults)
      : inner_(std::move(inner)), faults_(std::move(faults)) {}

  Result<void> append(Bytes bytes) override {
    const auto call = faults_->count();
    if (faults_->is_torn(call)) {
      (void)inner_->append(bytes.first(bytes.size() / 2));
      FaultyStorage::Faults::die();
    }
    RK_TRY(faults_->check(call));
    return inner_->append(bytes);
  }
  Result<void> rewrite_head(Bytes bytes) override {
    RK_TRY(faults_->step());
    return inner_->rewrite_head(bytes);
  }
  Result<void> sync() override {
    RK_TRY(faults_->step());
    return inner_->sync();
  }

 private:
  std::unique_ptr<WritableFile> inner_;
  std::shared_ptr<FaultyStorage::Faults> faults_;
};

}  // namespace

FaultyStorage::FaultyStorage(std::shared_ptr<Storage> inner, FaultPlan plan)
    : inner_(std::move(inner)),
      file_like_(dynamic_cast<FileLikeStorage*>(inner_.get())),
      faults_(std::make_shared<Faults>()) {
  faults_->plan = std::move(plan);
}

std::uint64_t FaultyStorage::calls() const {
  return faults_->calls.load(std::memory_order_relaxed);  // relaxed: a statistic
}

Result<void> FaultyStorage::create_root() {
  RK_TRY(faults_->step());
  return inner_->create_root();
}

Result<std::unique_ptr<WritableFile>> FaultyStorage::create(std::string_view path) {
  RK_TRY(faults_->step());
  RK_TRY_ASSIGN(auto file, inner_->create(path));
  return std::unique_ptr<WritableFile>(std::make_unique<FaultyFile>(std::move(file), faults_));
}

Result<void> FaultyStorage::make_directory(std::string_view path) {
  RK_TRY(faults_->step());
  return inner_->make_directory(path);
}

Result<void> FaultyStorage::publish(std::string_view path, Bytes bytes, Overwrite overwrite) {
  if (file_like_ != nullptr) return FileLikeStorage::publish(path, bytes, overwrite);
  RK_TRY(faults_->step());
  return inner_->publish(path, bytes, overwrite);
}

Result<void> FaultyStorage::rename(std::string_view from, std::string_view to,
                                   Overwrite overwrite) {
  RK_TRY(faults_->step());
  if (file_like_ == nullptr) return fail(ErrorCode::internal, "this store does not rename");
  return file_like_->rename(from, to, overwrite);
}

Result<void> FaultyStorage::remove(std::string_view path) {
  RK_TRY(faults_->step());
  return inner_->remove(path);
}

Result<void> FaultyStorage::remove_directory(std::string_view path) {
  RK_TRY(faults_->step());
  return inner_->remove_directory(path);
}

Result<void> FaultyStorage::sync_directory(std::string_view path) {
  RK_TRY(faults_->step());
  return inner_->sync_directory(path);
}

Result<std::vector<StorageEntry>> FaultyStorage::list(std::string_view path) {
  return inner_->list(path);
}

Result<std::uint64_t> FaultyStorage::file_bytes(std::string_view path) {
  return inner_->file_bytes(path);
}

Result<void> FaultyStorage::read(std::string_view path, std::uint64_t offset,
                                 std::span<std::byte> out) {
  return inner_->read(path, offset, out);
}

Result<std::unique_ptr<StorageLock>> FaultyStorage::lock() { return inner_->lock(); }

std::string FaultyStorage::describe(std::string_view path) const { return inner_->describe(path); }

std::shared_ptr<Storage> with_environment_faults(std::shared_ptr<Storage> storage) {
  const char* text = std::getenv("RK_STORAGE_KILL_AT");
  if (text == nullptr) return storage;
  char* end = nullptr;
  const unsigned long long at = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0' || at == 0) return storage;
  return std::make_shared<FaultyStorage>(
      std::move(storage), FaultPlan{.at_call = at, .action = FaultPlan::Action::kill});
}

}  // namespace rk::checkpoint
