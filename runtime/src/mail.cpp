#include "mail.hpp"

#include <cstring>
#include <string>
#include <utility>

namespace rk {
namespace {

/// A dead letter as it lies in a checkpoint, before its payload.
struct LetterRow {
  std::uint64_t hlc;
  std::uint32_t from;
  std::uint32_t to;
  std::uint32_t source_sequence;
  std::uint8_t reason;
  std::uint8_t tag;
  std::uint8_t tries;
  std::uint8_t is_command;
  std::uint32_t payload_bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(LetterRow) == 32);

}  // namespace

DeadLetter letter_of(const MessageView& message) {
  const MessageHeader& header = message.header();
  const Route& route = message.route();
  DeadLetter letter{.reason = route.reason(),
                    .from = header.src,
                    .to = header.dst,
                    .tag = header.tag,
                    .tries = route.tries,
                    .is_command = (header.flags & kFlagSystem) != 0,
                    .source_sequence = header.source_sequence,
                    .hlc = header.hlc,
                    .payload = {}};
  const std::size_t bytes = message.slot_bytes - sizeof(MessageHeader) - sizeof(Envelope);
  letter.payload.assign(message.payload(), message.payload() + bytes);
  return letter;
}

void DeadLetters::add(DeadLetter letter) {
  letters_.push_back(std::move(letter));
  if (letters_.size() <= kMost) return;
  letters_.pop_front();
  ++dropped_;
}

std::vector<DeadLetter> DeadLetters::take() {
  std::vector<DeadLetter> out(std::make_move_iterator(letters_.begin()),
                              std::make_move_iterator(letters_.end()));
  letters_.clear();
  return out;
}

std::vector<std::byte> DeadLetters::encode() const {
  std::vector<std::byte> bytes;
  const auto put = [&](const void* from, std::size_t count) {
    const auto* begin = static_cast<const std::byte*>(from);
    bytes.insert(bytes.end(), begin, begin + count);
  };
  for (const DeadLetter& letter : letters_) {
    const LetterRow row{letter.hlc,
                        letter.from.word,
                        letter.to.word,
                        letter.source_sequence,
                        static_cast<std::uint8_t>(letter.reason),
                        letter.tag,
                        letter.tries,
                        static_cast<std::uint8_t>(letter.is_command ? 1 : 0),
                        static_cast<std::uint32_t>(letter.payload.size()),
                        0};
    put(&row, sizeof(row));
    put(letter.payload.data(), letter.payload.size());
  }
  return bytes;
}

Result<void> DeadLetters::decode(std::span<const std::byte> bytes) {
  letters_.clear();
  while (!bytes.empty()) {
    LetterRow row;
    if (bytes.size() < sizeof(row))
      return fail(ErrorCode::corrupt, "the checkpoint's dead letters are cut short");
    std::memcpy(&row, bytes.data(), sizeof(row));
    bytes = bytes.subspan(sizeof(row));
    if (row.payload_bytes > bytes.size())
      return fail(ErrorCode::corrupt, "the checkpoint's dead letters are cut short");
    add(DeadLetter{.reason = static_cast<DeadReason>(row.reason),
                   .from = ActorId{row.from},
                   .to = ActorId{row.to},
                   .tag = row.tag,
                   .tries = row.tries,
                   .is_command = row.is_command != 0,
                   .source_sequence = row.source_sequence,
                   .hlc = row.hlc,
                   .payload = {bytes.begin(),
                               bytes.begin() + static_cast<std::ptrdiff_t>(row.payload_bytes)}});
    bytes = bytes.subspan(row.payload_bytes);
  }
  return {};
}

void Asks::add(std::uint32_t correlation, Clock::time_point deadline, Answer answer) {
  pending_[correlation] = Pending{deadline, std::move(answer)};
}

bool Asks::settle(std::uint32_t correlation, Result<std::vector<std::byte>> answer) {
  auto node = pending_.extract(correlation);
  if (node.empty()) return false;
  node.mapped().answer(std::move(answer));
  return true;
}

void Asks::expire(Clock::time_point now) {
  for (auto at = pending_.begin(); at != pending_.end();) {
    const auto here = at++;
    if (here->second.deadline > now) continue;
    settle(here->first, fail(ErrorCode::deadline_exceeded, "no answer came in time"));
  }
}

void Asks::close(const Error& error) {
  while (!pending_.empty()) settle(pending_.begin()->first, unexpected(error));
}

}  // namespace rk
