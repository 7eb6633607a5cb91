// Decoding the segments of a payload of version 2 (docs/format.md, section 9).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "decode/payload.h"

namespace sparsebook::decode {

struct Words;

/// One segment: the elements that have a code, and their codes. About 260 KiB; meant for the heap.
class ContextReader {
 public:
  /// `payload.contexts` is there, and outlives the reader.
  explicit ContextReader(const Payload& payload);

  /// Decodes segment `index`. Reads its bytes only, whatever they are. Returns whether it ends where it should; its elements and codes
  /// are to be thrown away otherwise.
  [[nodiscard]] bool decode(std::uint64_t index);

  /// Elements that have a code.
  [[nodiscard]] unsigned count() const { return count_; }
  /// Where they stand in the segment, ascending.
  [[nodiscard]] const std::uint16_t* positions() const { return position_.data(); }
  [[nodiscard]] const std::uint8_t* codes() const { return code_.data(); }

 private:
  /// Says for every element of a segment which context its row and column give, and whether a group begins.
  void lay_out(std::uint64_t first, unsigned length);

  template <unsigned N>
  void decode_mask(Words& words, std::uint32_t* state, unsigned length);
  template <unsigned N>
  void decode_codes(Words& words, std::uint32_t* state);

  const Payload& payload_;
  const Contexts& contexts_;
  bool uniform_;  ///< every element has the same place, which is laid out already
  unsigned count_ = 0;
  /// The element's cell, and BEGINS where a group begins.
  alignas(64) std::array<std::uint8_t, CONTEXT_SEGMENT> place_;
  alignas(64) std::array<std::uint16_t, CONTEXT_SEGMENT> position_;
  alignas(64) std::array<std::uint8_t, CONTEXT_SEGMENT> code_;
  std::vector<std::uint8_t> columns_;  ///< `place_` of every column in a row of class 0
};

}  // namespace sparsebook::decode
