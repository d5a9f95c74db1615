// The snapshot stream: checksums that do not depend on lanes, and a byte ring that never overwrites
// unread records.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <ringkernel/runtime/record.hpp>
#include <ringkernel/runtime/wait.hpp>
#include <thread>
#include <vector>

namespace rk {
namespace {

using Words = std::vector<std::uint64_t>;

const std::byte* bytes_of(const Words& words) {
  return reinterpret_cast<const std::byte*>(words.data());
}
std::byte* bytes_of(Words& words) { return reinterpret_cast<std::byte*>(words.data()); }

Words golden_words(std::size_t count) {
  Words words(count);
  for (std::size_t i = 0; i < count; ++i) {
    words[i] = (i + 1) * 0xD1B54A32D192ED03u;
    words[i] ^= words[i] >> 29;
  }
  return words;
}

std::uint64_t sum_over_lanes(std::byte* to, const std::byte* from, std::uint64_t bytes,
                             std::uint32_t lanes) {
  std::uint64_t sum = 0;
  for (std::uint32_t rank = 0; rank < lanes; ++rank) {
    sum += copy_with_checksum(to, from, bytes, rank, lanes);
  }
  return sum;
}

struct Golden {
  std::size_t words;
  std::uint64_t checksum;
};
// computed by a separate program from the formula's description; files depend on them
constexpr std::array<Golden, 5> kGolden = {{{1, 0xdcb7bb04ffc64315},
                                            {4, 0xf96a26796ef10eed},
                                            {32, 0x3989c763e27323f1},
                                            {256, 0x7ae818c838b0feb7},
                                            {513, 0xbdcd637f70d0f04d}}};

TEST(RecordChecksum, GoldenValuesHoldForGroupsOf1And4And32And256) {
  for (const Golden& golden : kGolden) {
    const Words from = golden_words(golden.words);
    const std::uint64_t bytes = golden.words * 8;
    EXPECT_EQ(record_checksum(bytes_of(from), bytes), golden.checksum) << golden.words;
    for (const std::uint32_t lanes : {1u, 4u, 32u, 256u}) {
      Words to(golden.words);
      EXPECT_EQ(sum_over_lanes(bytes_of(to), bytes_of(from), bytes, lanes), golden.checksum)
          << golden.words << " words, " << lanes << " lanes";
      EXPECT_EQ(to, from);
    }
  }
}

TEST(RecordChecksumProperty, CopyAgreesWithTheReadersChecksumAtAnyAlignmentAndSplit) {
  EXPECT_TRUE(rc::check([](const Words& words) {
    const auto lanes = *rc::gen::element(1u, 2u, 3u, 4u, 32u, 256u);
    const auto shift_from = *rc::gen::inRange<std::size_t>(0, 2);
    const auto shift_to = *rc::gen::inRange<std::size_t>(0, 2);
    Words from(words.size() + 1);
    for (std::size_t i = 0; i < words.size(); ++i) from[i + shift_from] = words[i];
    Words to(words.size() + 1);
    const std::byte* source = bytes_of(from) + 8 * shift_from;
    std::byte* target = bytes_of(to) + 8 * shift_to;
    const std::uint64_t expected = record_checksum(bytes_of(words), words.size() * 8);
    RC_ASSERT(sum_over_lanes(target, source, words.size() * 8, lanes) == expected);
    RC_ASSERT(std::memcmp(target, source, words.size() * 8) == 0);

    // a payload written in two parts, as a message and its block are
    const std::size_t cut = words.empty() ? 0 : *rc::gen::inRange<std::size_t>(0, words.size());
    std::uint64_t sum = 0;
    for (std::uint32_t rank = 0; rank < lanes; ++rank) {
      sum += copy_with_checksum(target, source, cut * 8, rank, lanes);
      sum += copy_with_checksum(target + cut * 8, source + cut * 8, (words.size() - cut) * 8, rank,
                                lanes, cut);
    }
    RC_ASSERT(sum == expected);
  }));
}

TEST(RecordChecksumProperty, AFlippedBitIsSeen) {
  EXPECT_TRUE(rc::check([] {
    auto words = *rc::gen::nonEmpty(rc::gen::arbitrary<Words>());
    const std::uint64_t before = record_checksum(bytes_of(words), words.size() * 8);
    const auto at = *rc::gen::inRange<std::size_t>(0, words.size());
    words[at] ^= std::uint64_t{1} << *rc::gen::inRange(0, 64);
    RC_ASSERT(record_checksum(bytes_of(words), words.size() * 8) != before);
  }));
}

TEST(RecordChecksumProperty, TwoWordsThatChangePlacesAreSeen) {
  EXPECT_TRUE(rc::check([](std::uint64_t a, std::uint64_t b) {
    RC_PRE(a != b);
    const Words one = {a, 0, b};
    const Words two = {b, 0, a};
    RC_ASSERT(record_checksum(bytes_of(one), 24) != record_checksum(bytes_of(two), 24));
  }));
}

TEST(RecordChecksum, ZeroesThatWereCutOffOrAddedAreSeen) {
  const Words zeroes(64);
  std::vector<std::uint64_t> sums;
  for (std::uint64_t words = 0; words <= 64; ++words) {
    sums.push_back(record_checksum(bytes_of(zeroes), words * 8));
  }
  std::sort(sums.begin(), sums.end());
  EXPECT_EQ(std::unique(sums.begin(), sums.end()), sums.end());
}

/// Memory of a stream, zeroed as the system zeroes it.
class Stream {
 public:
  explicit Stream(std::uint64_t capacity)
      : capacity_(capacity), memory_(new (std::align_val_t{64}) std::byte[capacity]()) {}
  SnapshotRing writer() { return {memory_.get(), capacity_, &words_}; }
  StreamWords& words() { return words_; }
  std::byte* at(std::uint64_t position) { return memory_.get() + position % capacity_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
  };
  std::uint64_t capacity_;
  std::unique_ptr<std::byte[], Free> memory_;
  StreamWords words_{};
};

void write_record(SnapshotRing& ring, std::uint32_t number, const Words& payload) {
  const std::uint64_t bytes = payload.size() * 8;
  std::byte* place = ring.reserve(bytes);
  auto* header = reinterpret_cast<RecordHeader*>(place);
  *header = RecordHeader{kRecordMagic, RecordKind::slots, 1, 0, number, 1, 0, 0, bytes, bytes, 0};
  header->checksum =
      copy_with_checksum(place + sizeof(RecordHeader), bytes_of(payload), bytes, 0, 1);
  ring.publish(bytes);
}

Words payload_of(std::uint32_t number, std::size_t words) {
  Words payload(words);
  for (std::size_t i = 0; i < words; ++i) payload[i] = number * 0x9E3779B97F4A7C15u + i;
  return payload;
}

TEST(SnapshotRing, BytesAreNoDataBeforeTheyArePublished) {
  Stream stream(1024);
  auto ring = stream.writer();
  ring.reserve(64);
  EXPECT_EQ(stream.words().published, 0u);
  ring.publish(64);
  EXPECT_EQ(stream.words().published, 128u);
}

TEST(SnapshotRing, RefusesARecordThatWouldReachUnreadBytesEvenThroughAPad) {
  Stream stream(1024);
  auto ring = stream.writer();
  for (std::uint32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(ring.has_room(192));
    write_record(ring, i, payload_of(i, 24));  // 256 bytes each
  }
  EXPECT_TRUE(ring.has_room(192));
  EXPECT_FALSE(ring.has_room(193)) << "256 bytes are left before the end, none at the start";
  store_release<Scope::system>(stream.words().credits, std::uint64_t{256});
  EXPECT_FALSE(ring.has_room(193)) << "the pad takes 256 bytes, the record 320";
  store_release<Scope::system>(stream.words().credits, std::uint64_t{512});
  EXPECT_TRUE(ring.has_room(193));
  EXPECT_EQ(ring.need(193), 256u + 320u);
  EXPECT_EQ(ring.used(), 256u);
}

TEST(SnapshotRing, APadOfOneHeaderFitsTheSmallestRestOfTheRing) {
  Stream stream(1024);
  auto ring = stream.writer();
  write_record(ring, 0, payload_of(0, (1024 - 64 - 64) / 8));
  store_release<Scope::system>(stream.words().credits, std::uint64_t{960});
  ASSERT_TRUE(ring.has_room(8));
  EXPECT_EQ(ring.reserve(8), stream.at(0));
  const auto* pad = reinterpret_cast<RecordHeader*>(stream.at(960));
  EXPECT_EQ(pad->magic, kRecordMagic);
  EXPECT_EQ(pad->kind, RecordKind::pad);
  EXPECT_EQ(pad->length, 0u);
}

TEST(SnapshotRing, ARecordOfHalfTheRingAlwaysFitsOnceTheRingIsRead) {
  for (std::uint64_t start = 64; start <= 1024; start += 64) {
    Stream stream(1024);
    auto ring = stream.writer();
    write_record(ring, 0, payload_of(0, (start - 64) / 8));
    store_release<Scope::system>(stream.words().credits, start);
    EXPECT_TRUE(ring.has_room(512 - sizeof(RecordHeader))) << start;
  }
}

/// Follows a stream, checks each record, destroys its bytes and gives them back. Returns the number
/// of bad records.
std::uint64_t drain(Stream& stream, const std::vector<std::size_t>& sizes) {
  std::uint64_t position = 0;
  std::uint64_t wrong = 0;
  for (std::uint32_t number = 0; number < sizes.size();) {
    Backoff backoff;
    while (load_acquire<Scope::system>(stream.words().published) == position) backoff.wait();
    std::byte* place = stream.at(position);
    RecordHeader header{};
    std::memcpy(&header, place, sizeof(header));
    if (header.magic != kRecordMagic) return wrong + 1;
    if (header.kind != RecordKind::pad) {
      const Words expected = payload_of(number, sizes[number]);
      wrong += header.unit != number || header.length != expected.size() * 8 ||
               !std::equal(bytes_of(expected), bytes_of(expected) + header.length,
                           place + sizeof(header)) ||
               header.checksum != record_checksum(place + sizeof(header), header.length);
      ++number;
    }
    std::memset(place, 0xDD, record_bytes(header.length));
    position += record_bytes(header.length);
    store_release<Scope::system>(stream.words().credits, position);
  }
  return wrong;
}

TEST(SnapshotRing, AReaderBesideTheWriterSeesEveryRecordWholeAcrossManyWraps) {
  std::random_device entropy;
  const std::uint32_t seed = entropy();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::uint64_t kCapacity = 4096;
  std::vector<std::size_t> sizes(5000);
  for (auto& words : sizes) words = random() % ((kCapacity / 2 - sizeof(RecordHeader)) / 8 + 1);
  Stream stream(kCapacity);
  std::uint64_t wrong = 0;
  std::thread reader([&] { wrong = drain(stream, sizes); });
  auto ring = stream.writer();
  for (std::uint32_t number = 0; number < sizes.size(); ++number) {
    Backoff backoff;
    while (!ring.has_room(sizes[number] * 8)) backoff.wait();
    write_record(ring, number, payload_of(number, sizes[number]));
  }
  reader.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(ring.used(), 0u);
}

}  // namespace
}  // namespace rk
