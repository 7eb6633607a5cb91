#include "decode/huffman.h"

#include <algorithm>
#include <string>

#include "decode/error.h"

namespace sparsebook::decode {
namespace {

[[noreturn]] void fail(const char* stream, const std::string& found) {
  throw PayloadError("code-lengths", "of the " + std::string(stream) + ": " + found);
}

class NibbleReader {
 public:
  NibbleReader(const std::uint8_t* bytes, std::size_t size, const char* stream)
      : bytes_(bytes), size_(size), stream_(stream) {}

  unsigned next() {
    if (position_ / 2 >= size_) {
      throw PayloadError("truncated", "the code lengths of the " + std::string(stream_) + " go on behind the last byte");
    }
    const unsigned byte = bytes_[position_ / 2];
    return position_++ % 2 == 0 ? byte >> 4 : byte & 15;
  }

  [[nodiscard]] bool inside_byte() const { return position_ % 2 != 0; }
  [[nodiscard]] std::size_t bytes_read() const { return (position_ + 1) / 2; }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
  const char* stream_;
  std::size_t position_ = 0;
};

// Checks that the lengths are those of a complete code, or the single length 1, and fills in the counts.
void check_complete(CodeLengths& lengths, const char* stream) {
  unsigned sum = 0;  // of 2^-length, in units of 2^-MAX_CODE_LENGTH
  for (unsigned symbol = 0; symbol < lengths.alphabet; ++symbol) {
    const unsigned length = lengths.length[symbol];
    if (length == 0) continue;
    ++lengths.occurring;
    lengths.only = static_cast<std::uint8_t>(symbol);
    sum += 1u << (MAX_CODE_LENGTH - length);
  }
  if (lengths.occurring == 0) fail(stream, "no symbol has one; at least one symbol occurs");
  if (lengths.occurring == 1) {
    const unsigned length = lengths.length[lengths.only];
    if (length != 1) fail(stream, "the only symbol has length " + std::to_string(length) + ", which must be 1");
  } else if (sum != 1u << MAX_CODE_LENGTH) {
    fail(stream, "the sum of 2^-length is " + std::to_string(sum) + "/4096, which must be 1");
  }
}

}  // namespace

CodeLengths read_code_lengths(const std::uint8_t* bytes, std::size_t size, unsigned alphabet, const char* stream) {
  CodeLengths lengths;
  lengths.alphabet = alphabet;
  NibbleReader nibbles(bytes, size, stream);
  for (unsigned symbol = 0; symbol < alphabet;) {
    const unsigned nibble = nibbles.next();
    if (nibble <= MAX_CODE_LENGTH) {
      lengths.length[symbol++] = static_cast<std::uint8_t>(nibble);
      continue;
    }
    if (nibble != NIBBLE_ZERO_RUN && nibble != NIBBLE_REPEAT_RUN) fail(stream, "nibble 15 is invalid");
    if (nibble == NIBBLE_REPEAT_RUN && symbol == 0) fail(stream, "a repetition has no symbol before it");
    const unsigned run = nibbles.next() + MIN_RUN;
    if (run > alphabet - symbol) {
      fail(stream, "a run of " + std::to_string(run) + " leaves the alphabet of " + std::to_string(alphabet) + " symbols");
    }
    const std::uint8_t value = nibble == NIBBLE_REPEAT_RUN ? lengths.length[symbol - 1] : std::uint8_t{0};
    std::fill_n(lengths.length.begin() + symbol, run, value);
    symbol += run;
  }
  if (nibbles.inside_byte() && nibbles.next() != 0) fail(stream, "the last byte is not padded with a zero nibble");
  lengths.bytes = nibbles.bytes_read();
  check_complete(lengths, stream);
  return lengths;
}

HuffmanTable::HuffmanTable(const CodeLengths& lengths) : entries_{} {
  // Canonical code words ascend by (length, symbol); left-justified in MAX_CODE_LENGTH bits they tile the table from its
  // start without holes, so the words themselves need not be computed.
  auto entry = entries_.begin();
  for (unsigned length = 1; length <= MAX_CODE_LENGTH; ++length) {
    for (unsigned symbol = 0; symbol < lengths.alphabet; ++symbol) {
      if (lengths.length[symbol] != length) continue;
      entry = std::fill_n(entry, std::size_t{1} << (MAX_CODE_LENGTH - length),
                          Entry{static_cast<std::uint8_t>(symbol), static_cast<std::uint8_t>(length)});
    }
  }
}

}  // namespace sparsebook::decode
