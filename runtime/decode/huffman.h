// Canonical, length-limited Huffman codes (docs/format.md, section 3): the stored code lengths and the decoding table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "decode/layout.h"

namespace sparsebook::decode {

/// Lengths of the code words of at most 256 symbols; 0 for a symbol that does not occur.
struct CodeLengths {
  std::array<std::uint8_t, 256> length{};
  unsigned alphabet = 0;     ///< symbols covered
  unsigned occurring = 0;    ///< symbols with a length
  std::uint8_t only = 0;     ///< the symbol, if exactly one occurs
  std::size_t bytes = 0;     ///< bytes that the stored form takes
};

/// Reads the stored code lengths of `alphabet` symbols from the `size` bytes at `bytes`.
/// Throws PayloadError `truncated` or `code-lengths`; `stream` names the stream in the message.
[[nodiscard]] CodeLengths read_code_lengths(const std::uint8_t* bytes, std::size_t size, unsigned alphabet,
                                            const char* stream);

/// For every value of the next MAX_CODE_LENGTH bits: the symbol whose code word they start with, and its length.
/// The code is complete, so that every entry is a symbol of length 1..MAX_CODE_LENGTH: decoding always advances and never
/// meets an undefined entry, whatever the bits are.
class HuffmanTable {
 public:
  struct Entry {
    std::uint8_t symbol;
    std::uint8_t length;
  };

  /// Requires lengths of a complete code of at least two symbols.
  explicit HuffmanTable(const CodeLengths& lengths);

  /// Looks the next symbol up; `bits` has the stream's next bit in its most significant place.
  [[nodiscard]] Entry lookup(std::uint64_t bits) const { return entries_[bits >> (64 - MAX_CODE_LENGTH)]; }

 private:
  std::array<Entry, std::size_t{1} << MAX_CODE_LENGTH> entries_;
};

}  // namespace sparsebook::decode
