#include <ringkernel/kernels/zeroed_memory.hpp>

#include <sys/mman.h>

#include <algorithm>

namespace rk::detail {

bool ZeroedMemory::allocate(std::uint64_t bytes) {
  const std::size_t length = std::max<std::uint64_t>(bytes, 1);
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  base_ = {static_cast<std::byte*>(memory), Unmap{length}};
  return true;
}

void ZeroedMemory::Unmap::operator()(std::byte* memory) const { munmap(memory, length); }

}  // namespace rk::detail
