// Window kernels whose places are bit fields of one 32-bit word a row: sixteen rows are the sixteen lanes of a 512-bit vector.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

inline constexpr unsigned WORD_ROWS = 16;

/// Places of INDEX_BITS of column below CODE_BITS of code, SLOTS of them from a word's lowest bit on.
template <unsigned SLOTS, unsigned INDEX_BITS, unsigned CODE_BITS>
struct Word {
  static constexpr unsigned PLACE_BITS = INDEX_BITS + CODE_BITS;
  static constexpr unsigned BYTES = 4 * WORD_ROWS;
  static_assert(SLOTS * PLACE_BITS <= 32);

  static std::uint32_t load(const std::uint8_t* group, unsigned row) {
    std::uint32_t word;
    __builtin_memcpy(&word, group + 4 * row, sizeof word);
    return word;
  }
  static void put(std::uint8_t* group, unsigned row, unsigned slot, unsigned index, unsigned code) {
    const std::uint32_t word = load(group, row) | (index | code << INDEX_BITS) << (slot * PLACE_BITS);
    __builtin_memcpy(group + 4 * row, &word, sizeof word);
  }
  static unsigned index(const std::uint8_t* group, unsigned row, unsigned slot) {
    return load(group, row) >> (slot * PLACE_BITS) & ((1u << INDEX_BITS) - 1);
  }
  static unsigned code(const std::uint8_t* group, unsigned row, unsigned slot) {
    return load(group, row) >> (slot * PLACE_BITS + INDEX_BITS) & ((1u << CODE_BITS) - 1);
  }
};

}  // namespace
}  // namespace sparsebook::kernels
