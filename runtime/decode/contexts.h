// What a payload of version 2 says of its zeros and codes before a symbol is read (docs/format.md, section 8).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "decode/layout.h"

namespace sparsebook::decode {

/// How many of 4096 a level of the mask stands for; `level` is 1..MAX_MASK_LEVEL.
[[nodiscard]] std::uint16_t mask_share(unsigned level);

/// The symbols of one context by the lowest 12 bits of a state: eight bits of the symbol, twelve of its frequency less one, twelve of
/// how far into the symbol the slot lies.
class CodeTable {
 public:
  /// Makes the table from frequency levels of `alphabet` (1..256) symbols. Throws PayloadError `frequencies`.
  CodeTable(const std::uint8_t* levels, unsigned alphabet);

  [[nodiscard]] std::uint32_t entry(std::uint32_t slot) const { return entries_[slot]; }

 private:
  std::vector<std::uint32_t> entries_;
};

struct Contexts {
  unsigned split = 0;
  unsigned mask = MASK_NONE;
  std::uint64_t columns = 0;  ///< elements of a row
  std::uint64_t group = 0;    ///< elements of a group; 0 where there are none
  unsigned histories = 1;     ///< states that an element's predecessors leave
  unsigned rows_by = 1;       ///< classes of rows
  unsigned columns_by = 1;    ///< classes of columns
  std::vector<std::uint8_t> row_classes;     ///< of every row; empty where there is one class
  std::vector<std::uint8_t> column_classes;  ///< of every column; empty where there is one class
  std::array<std::uint16_t, 1024> share{};   ///< of 4096, by 16 x cell + history: not zero
  std::array<std::uint8_t, 64> code_context{};  ///< by (row class, column class)
  std::vector<CodeTable> codes;              ///< by context of the codes
  unsigned first_code = 1;                   ///< the code that symbol 0 stands for
  const std::uint8_t* bytes = nullptr;       ///< the first segment
  std::vector<std::uint64_t> ends;           ///< where every segment ends, in bytes from `bytes`
};

/// Lanes of a segment of so many elements.
[[nodiscard]] inline unsigned lanes_of(std::uint64_t elements) { return elements >= LANES_FROM ? CONTEXT_LANES : 1; }

}  // namespace sparsebook::decode
