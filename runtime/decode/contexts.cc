#include "decode/contexts.h"

#include <algorithm>
#include <string>

#include "decode/error.h"

namespace sparsebook::decode {
namespace {

constexpr std::uint32_t WHOLE = 1u << PROBABILITY_BITS;

// 1 to 7 stand for themselves, from 8 on every eight levels double: at most 8 << 9 = 4096, for MAX_FREQUENCY_LEVEL.
std::uint32_t weight(unsigned level) { return level < 8 ? level : (8 + (level & 7)) << ((level >> 3) - 1); }

// Every symbol that has a level gets 1, and of the rest what its weight is of all weights; the largest takes what is left over.
std::array<std::uint32_t, 256> frequencies(const std::uint8_t* levels, unsigned alphabet) {
  const unsigned highest = *std::max_element(levels, levels + alphabet);
  if (highest == 0 || highest > MAX_FREQUENCY_LEVEL) {
    throw PayloadError("frequencies", "levels up to " + std::to_string(highest) + ", allowed are 1..80, and at least one");
  }
  std::uint32_t total = 0;  // at most 256 x 4096
  std::uint32_t rest = WHOLE;
  for (unsigned symbol = 0; symbol < alphabet; ++symbol) {
    total += weight(levels[symbol]);
    rest -= levels[symbol] != 0;
  }
  std::array<std::uint32_t, 256> scaled{};
  std::uint32_t sum = 0;
  for (unsigned symbol = 0; symbol < alphabet; ++symbol) {
    if (levels[symbol] == 0) continue;
    scaled[symbol] = 1 + weight(levels[symbol]) * rest / total;
    sum += scaled[symbol];
  }
  *std::max_element(scaled.begin(), scaled.begin() + alphabet) += WHOLE - sum;
  return scaled;
}

}  // namespace

std::uint16_t mask_share(unsigned level) {
  const bool mirrored = level > (MAX_MASK_LEVEL + 1) / 2;
  return static_cast<std::uint16_t>(mirrored ? WHOLE - weight(MAX_MASK_LEVEL + 1 - level) : weight(level));
}

CodeTable::CodeTable(const std::uint8_t* levels, unsigned alphabet) {
  const std::array<std::uint32_t, 256> frequency = frequencies(levels, alphabet);
  entries_.reserve(WHOLE);
  for (std::uint32_t symbol = 0; symbol < alphabet; ++symbol) {
    for (std::uint32_t offset = 0; offset < frequency[symbol]; ++offset) {
      entries_.push_back(symbol << 24 | (frequency[symbol] - 1) << 12 | offset);
    }
  }
}

}  // namespace sparsebook::decode
