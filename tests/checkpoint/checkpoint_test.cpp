// Checkpoints as values and the deltas between them.
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ringkernel/checkpoint/checkpoint.hpp>
#include <ringkernel/checkpoint/delta.hpp>

#include "support.hpp"

namespace rk::checkpoint::test {
namespace {

constexpr std::array kTypes{ChunkType::control_block,  ChunkType::h2k_queue,
                            ChunkType::hlc_state,      ChunkType::device_memory,
                            ChunkType::device_memory,  ChunkType::custom,
                            static_cast<ChunkType>(77)};

Checkpoint built(CheckpointBuilder& builder) {
  auto checkpoint = builder.build();
  if (!checkpoint) {
    ADD_FAILURE() << checkpoint.error().message;
    return {};
  }
  return *std::move(checkpoint);
}

Checkpoint sample(std::string_view control, std::string_view pressure) {
  return built(CheckpointBuilder("sim_0", "wave")
                   .step(7)
                   .chunk(ChunkType::control_block, bytes_of(control))
                   .region("pressure", bytes_of(pressure)));
}

Checkpoint with_key(const Checkpoint& checkpoint, std::string_view key, std::string value) {
  Metadata metadata = checkpoint.metadata();
  metadata.custom.insert_or_assign(std::string(key), std::move(value));
  return Checkpoint(metadata, checkpoint.chunks());
}

Checkpoint without_key(const Checkpoint& checkpoint, std::string_view key) {
  Metadata metadata = checkpoint.metadata();
  metadata.custom.erase(std::string(key));
  return Checkpoint(metadata, checkpoint.chunks());
}

/// As the seed makes it: changed and added chunks, and the 32-bit digest alone.
Checkpoint seed_delta(const Checkpoint& base, const Checkpoint& next) {
  Checkpoint delta = *make_delta(base, next);
  for (const auto key :
       {kDeltaBaseDigestKey, kDeltaResultDigestKey, kDeltaDeletedKey, kDeltaOrderKey})
    delta = without_key(delta, key);
  return delta;
}

TEST(Checkpoint, KeepsEverythingThroughAFile) {
  const Checkpoint checkpoint = built(CheckpointBuilder(sample_metadata())
                                          .created_at_us(123)
                                          .chunk(ChunkType::hlc_state, pattern(24, 1))
                                          .region("pressure", pattern(1000, 2))
                                          .region("velocity", {})
                                          .custom_chunk(5, pattern(3, 3)));
  const auto file = checkpoint.encode();
  ASSERT_OK(file);
  const auto again = Checkpoint::decode(*file);
  ASSERT_OK(again);
  EXPECT_EQ(*again, checkpoint);
  EXPECT_EQ(again->metadata(), sample_metadata());
  EXPECT_EQ(again->content_digest(), checkpoint.content_digest());
  ASSERT_NE(again->find_region("pressure"), nullptr);
  EXPECT_EQ(again->find_region("pressure")->data, pattern(1000, 2));
  EXPECT_TRUE(again->find_region("velocity")->data.empty());
  EXPECT_EQ(again->find_region("absent"), nullptr);
  EXPECT_EQ(again->find(ChunkType::hlc_state)->data, pattern(24, 1));
  EXPECT_EQ(again->find(ChunkType::telemetry), nullptr);
  EXPECT_EQ(again->find(identity_of(ChunkType::custom, 5))->data, pattern(3, 3));
  EXPECT_EQ(again->find_all(ChunkType::device_memory).size(), 2u);
}

TEST(Checkpoint, ACopyIsAsOldAsItsOriginal) {
  const Checkpoint original(sample_metadata(), {}, 1700000000000000);
  const auto file = original.encode();
  ASSERT_OK(file);
  const auto copy = Checkpoint::decode(*file);
  ASSERT_OK(copy);
  EXPECT_EQ(copy->created_at_us(), 1700000000000000u);
  const auto again = copy->encode({.created_at_us = 99});
  ASSERT_OK(again);
  EXPECT_EQ(*again, *file);
}

TEST(Checkpoint, TheBuilderRefusesASecondChunkOfOneIdentity) {
  const auto twice = CheckpointBuilder("k", "t").region("a", {}).region("a", pattern(3, 1)).build();
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::invalid_argument);
  // of other types there is one, whatever the id says
  EXPECT_FALSE(CheckpointBuilder("k", "t")
                   .chunk({.type = ChunkType::h2k_queue, .id = 1})
                   .chunk({.type = ChunkType::h2k_queue, .id = 2})
                   .build());
  EXPECT_TRUE(
      CheckpointBuilder("k", "t").region("a", {}).region("b", {}).custom_chunk(1, {}).build());
}

TEST(Checkpoint, IdentitiesReadBackAsWrittenAndNothingElseDoes) {
  for (const auto& identity :
       {identity_of(ChunkType::device_memory, 0xaca6a1f20a241e2a),
        identity_of(ChunkType::custom, 0), identity_of(ChunkType::telemetry, 9),
        identity_of(static_cast<ChunkType>(0xFFFFFFFF), 4)}) {
    EXPECT_EQ(chunk_identity_from(to_string(identity)), identity);
  }
  EXPECT_EQ(to_string(identity_of(ChunkType::device_memory, region_id("pressure"))),
            "5:aca6a1f20a241e2a");
  for (const auto* text : {"", ":", "5", "5:", "5:aca6", "05:aca6a1f20a241e2a",
                           "8:0000000000000001", "5:ACA6A1F20A241E2A", "5:aca6a1f20a241e2a ",
                           "-1:aca6a1f20a241e2a", "4294967296:0000000000000000"}) {
    EXPECT_FALSE(chunk_identity_from(text)) << text;
  }
}

TEST(Delta, OfEqualCheckpointsHoldsNoChunk) {
  const auto delta = make_delta(sample("abc", "defg"), sample("abc", "defg"));
  ASSERT_OK(delta);
  EXPECT_TRUE(delta->chunks().empty());
  EXPECT_EQ(delta->metadata().custom.at("ringkernel.delta.parent_digest"),
            to_hex(sample("abc", "defg").content_digest()));
}

TEST(Delta, DeletesChunksThatTheNextCheckpointDoesNotHave) {
  const Checkpoint base = sample("abc", "defg");
  const Checkpoint next =
      built(CheckpointBuilder("sim_0", "wave").region("pressure", pattern(4, 1)));
  const auto delta = make_delta(base, next);
  ASSERT_OK(delta);
  EXPECT_EQ(delta->metadata().custom.at("ringkernel.delta.deleted"), "1:0000000000000000");
  const auto result = apply_delta(base, *delta);
  ASSERT_OK(result);
  EXPECT_EQ(*result, next);
  EXPECT_EQ(result->find(ChunkType::control_block), nullptr);
}

TEST(Delta, ItsKeysDoNotLeakIntoTheResult) {
  const Checkpoint base = sample("abc", "defg");
  const Checkpoint next =
      built(CheckpointBuilder("sim_0", "wave").custom("mine", "stays").region("q", {}));
  const auto delta = make_delta(base, next);
  ASSERT_OK(delta);
  EXPECT_TRUE(is_delta(delta->metadata()));
  const auto result = apply_delta(base, *delta);
  ASSERT_OK(result);
  EXPECT_EQ(result->metadata().custom, (std::map<std::string, std::string>{{"mine", "stays"}}));
  // the seed leaves its key in what it restores; such a file becomes usable again
  const Checkpoint leaked = with_key(next, kDeltaParentDigestKey, "00000000");
  EXPECT_EQ(make_delta(base, leaked).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(without_delta_keys(leaked.metadata()), next.metadata());
}

TEST(Delta, AMissingParentKeyIsAnError) {
  const Checkpoint base = sample("abc", "defg");
  auto delta = make_delta(base, sample("abc", "xxxx"));
  ASSERT_OK(delta);
  for (const auto key : {kDeltaParentDigestKey, kDeltaBaseDigestKey, kDeltaResultDigestKey})
    EXPECT_FALSE(apply_delta(base, without_key(*delta, key))) << key;
  EXPECT_EQ(apply_delta(base, base).error().code, ErrorCode::invalid_argument);
}

TEST(Delta, RefusesRepeatedIdentitiesInsteadOfCollapsingThem) {
  const Checkpoint base = sample("abc", "defg");
  std::vector<Chunk> chunks = base.chunks();
  chunks.push_back({.type = ChunkType::control_block, .id = 0, .data = bytes_of("second")});
  const Checkpoint repeated(base.metadata(), chunks);
  EXPECT_EQ(make_delta(base, repeated).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(make_delta(repeated, base).error().code, ErrorCode::invalid_argument);

  auto delta = make_delta(base, sample("xyz", "defg"));
  ASSERT_OK(delta);
  chunks = delta->chunks();
  chunks.push_back(chunks.front());
  EXPECT_EQ(apply_delta(base, Checkpoint(delta->metadata(), chunks)).error().code,
            ErrorCode::corrupt);
  Metadata of_repeated = seed_delta(base, sample("xyz", "defg")).metadata();
  of_repeated.custom[std::string(kDeltaParentDigestKey)] = to_hex(repeated.content_digest());
  EXPECT_EQ(apply_delta(repeated, Checkpoint(of_repeated, {})).error().code,
            ErrorCode::invalid_argument);
}

TEST(Delta, BasesThatCollideIn32BitsAreToldApart) {
  // two bases whose 32-bit digests agree: four bytes are chosen to make the CRC equal
  const Checkpoint base = sample("abc", "defg");
  const std::uint32_t wanted = base.content_digest();
  // CRC is linear: solve for the last four bytes with 32 basis vectors
  const auto digest_of = [](std::uint32_t word) {
    std::string tail(4, '\0');
    std::memcpy(tail.data(), &word, 4);
    return sample("other", tail).content_digest();
  };
  const std::uint32_t zero = digest_of(0);
  std::array<std::pair<std::uint32_t, std::uint32_t>, 32> basis{};  // {effect, word}, by top bit
  for (std::uint32_t bit = 0; bit < 32; ++bit) {
    std::uint32_t word = 1u << bit;
    std::uint32_t effect = digest_of(word) ^ zero;
    for (std::uint32_t top = 31; effect != 0; --top) {
      if ((effect >> top & 1) == 0) continue;
      if (basis[top].first == 0) {
        basis[top] = {effect, word};
        break;
      }
      effect ^= basis[top].first;
      word ^= basis[top].second;
    }
  }
  std::uint32_t left = wanted ^ zero;
  std::uint32_t word = 0;
  for (std::uint32_t top = 32; top-- > 0;) {
    if ((left >> top & 1) == 0) continue;
    left ^= basis[top].first;
    word ^= basis[top].second;
  }
  std::string tail(4, '\0');
  std::memcpy(tail.data(), &word, 4);
  const Checkpoint twin = sample("other", tail);
  ASSERT_EQ(twin.content_digest(), wanted);

  const auto delta = make_delta(base, sample("abc", "next"));
  ASSERT_OK(delta);
  EXPECT_EQ(apply_delta(twin, *delta).error().code, ErrorCode::incompatible);
  EXPECT_TRUE(apply_delta(base, *delta));
}

TEST(Delta, OfTheSeedAppliesWithItsOwnCheck) {
  const Checkpoint base = sample("abc", "defg");
  const Checkpoint next = built(CheckpointBuilder("sim_0", "wave")
                                    .step(8)
                                    .chunk(ChunkType::control_block, bytes_of("abc"))
                                    .region("pressure", bytes_of("DEFG"))
                                    .chunk(ChunkType::h2k_queue, pattern(2, 2)));
  const Checkpoint delta = seed_delta(base, next);
  EXPECT_EQ(delta.metadata().custom.size(), 1u);
  const auto result = apply_delta(base, delta);
  ASSERT_OK(result);
  EXPECT_EQ(*result, next);
  EXPECT_EQ(apply_delta(sample("zzz", "defg"), delta).error().code, ErrorCode::incompatible);
}

TEST(Delta, ContradictionsInsideItAreCorrupt) {
  const Checkpoint base = sample("abc", "defg");
  const auto made = make_delta(base, sample("abc", "next"));
  ASSERT_OK(made);
  const auto code = [&](const Checkpoint& delta) {
    const auto result = apply_delta(base, delta);
    return result ? ErrorCode::internal : result.error().code;
  };
  EXPECT_EQ(code(with_key(*made, kDeltaDeletedKey, "4:0000000000000000")), ErrorCode::corrupt);
  EXPECT_EQ(code(with_key(*made, kDeltaDeletedKey, to_string(identity_of(made->chunks()[0])))),
            ErrorCode::corrupt);
  EXPECT_EQ(code(with_key(*made, kDeltaDeletedKey, "what is this")), ErrorCode::corrupt);
  EXPECT_EQ(code(with_key(*made, kDeltaOrderKey, "1:0000000000000000")), ErrorCode::corrupt);
  EXPECT_EQ(code(with_key(*made, kDeltaOrderKey, "1:0000000000000000 1:0000000000000000")),
            ErrorCode::corrupt);
  EXPECT_EQ(code(with_key(*made, "added", "by hand")), ErrorCode::corrupt);
  EXPECT_EQ(code(Checkpoint(made->metadata(), {})), ErrorCode::corrupt);
}

/// Few identities and small values, so that bases and their successors have much in common.
rc::Gen<Checkpoint> any_checkpoint() {
  using rc::gen::arbitrary;
  using rc::gen::inRange;
  const auto chunk = rc::gen::map(
      rc::gen::tuple(inRange<std::size_t>(0, kTypes.size()), inRange<std::uint64_t>(0, 3),
                     inRange<std::size_t>(0, 6), inRange<std::uint32_t>(0, 3)),
      [](const auto& parts) {
        const auto& [type, id, size, seed] = parts;
        return Chunk{.type = kTypes[type], .id = id, .data = pattern(size, seed)};
      });
  return rc::gen::map(rc::gen::tuple(rc::gen::container<std::vector<Chunk>>(chunk),
                                     inRange<std::uint64_t>(0, 4), inRange(0, 3)),
                      [](const auto& parts) {
                        const auto& [chunks, step, keys] = parts;
                        Metadata metadata = sample_metadata();
                        metadata.step = step;
                        for (int i = 0; i < keys; ++i)
                          metadata.custom[std::to_string(i)] = std::to_string(step);
                        std::vector<Chunk> unique;
                        for (const Chunk& candidate : chunks) {
                          const bool is_there =
                              std::any_of(unique.begin(), unique.end(), [&](const Chunk& other) {
                                return identity_of(other) == identity_of(candidate);
                              });
                          if (!is_there) unique.push_back(candidate);
                        }
                        return Checkpoint(std::move(metadata), std::move(unique));
                      });
}

TEST(DeltaProperty, AppliedToItsBaseItGivesTheNextCheckpointThroughAFile) {
  EXPECT_TRUE(rc::check([] {
    const Checkpoint base = *any_checkpoint();
    const Checkpoint next = *any_checkpoint();
    const auto delta = make_delta(base, next);
    RC_ASSERT(delta.has_value());
    const auto file = delta->encode();
    RC_ASSERT(file.has_value());
    const auto read = Checkpoint::decode(*file);
    RC_ASSERT(read.has_value());
    const auto result = apply_delta(base, *read);
    RC_ASSERT(result.has_value());
    RC_ASSERT(*result == next);
  }));
}

TEST(DeltaProperty, AnySingleChangeOfTheBaseIsRefused) {
  EXPECT_TRUE(rc::check([] {
    const Checkpoint base = *any_checkpoint();
    const Checkpoint next = *any_checkpoint();
    Metadata metadata = base.metadata();
    std::vector<Chunk> chunks = base.chunks();
    const auto at = chunks.empty() ? 0 : *rc::gen::inRange<std::size_t>(0, chunks.size());
    switch (chunks.empty() ? 0 : *rc::gen::inRange(0, 7)) {
      case 0: ++metadata.step; break;
      case 1: metadata.custom["more"] = ""; break;
      case 2: chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(at)); break;
      case 3: chunks[at].data.push_back(std::byte{0}); break;
      case 4: chunks[at].id += 1000; break;
      case 5:
        if (chunks[at].data.empty()) chunks[at].data.resize(1);
        chunks[at].data.front() ^= std::byte{1};
        break;
      default: chunks.push_back({.type = ChunkType::telemetry}); break;
    }
    const Checkpoint other(std::move(metadata), std::move(chunks));
    const auto delta = make_delta(base, next);
    RC_ASSERT(delta.has_value());
    const auto result = apply_delta(other, *delta);
    RC_ASSERT(!result.has_value());
    RC_ASSERT(result.error().code == ErrorCode::incompatible);
  }));
}

}  // namespace
}  // namespace rk::checkpoint::test
