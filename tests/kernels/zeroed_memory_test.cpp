#include <ringkernel/kernels/zeroed_memory.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace rk {
namespace {

TEST(ZeroedMemory, IsNotTouchedUntilUsed) {
  constexpr std::size_t kBytes = std::size_t{48} << 20;
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  {
    // a heap with much room that was used: the last block keeps it from being given back
    constexpr std::size_t kBlock = 65'536;
    std::vector<std::unique_ptr<char[]>> blocks;
    for (std::size_t used = 0; used < 2 * kBytes; used += kBlock) {
      blocks.push_back(std::make_unique<char[]>(kBlock));
      std::memset(blocks.back().get(), 1, kBlock);
    }
    static std::unique_ptr<char[]> last = std::move(blocks.back());
  }
  detail::ZeroedMemory memory;
  ASSERT_TRUE(memory.allocate(kBytes));
  const auto resident = [&] {
    std::vector<unsigned char> pages(kBytes / kPage);
    EXPECT_EQ(mincore(memory.get(), kBytes, pages.data()), 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1) != 0; });
  };
  EXPECT_EQ(resident(), 0);
  memory.get()[kBytes - 1] = std::byte{1};
  EXPECT_LE(resident(), kHugePage / kPage);
  EXPECT_EQ(memory.get()[kBytes / 2], std::byte{0});
}

TEST(ZeroedMemory, MoreThanThereIsIsAnError) {
  detail::ZeroedMemory memory;
  EXPECT_FALSE(memory.allocate(std::uint64_t{1} << 60));
}

}  // namespace
}  // namespace rk
