// The memory of a system that runs on threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace rk::detail {

/// Zeroed memory on whole pages, not touched until used. It comes from the kernel: calloc() clears
/// what it finds in its heap, and then all of it is resident.
class ZeroedMemory {
 public:
  /// False if there is not as much.
  [[nodiscard]] bool allocate(std::uint64_t bytes);
  [[nodiscard]] std::byte* get() const { return base_.get(); }

 private:
  struct Unmap {
    std::size_t length;
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Unmap> base_;
};

}  // namespace rk::detail
