// All segments of a payload in order, both streams side by side, with the last checks of docs/format.md, section 5.
#pragma once

#include <cstdint>
#include <memory>

#include "decode/context_reader.h"
#include "decode/payload.h"
#include "decode/segments.h"

namespace sparsebook::decode {

/// Symbols of one segment. Valid until the next call of SegmentReader::next().
struct Segment {
  std::uint64_t index;
  unsigned symbols;
  const std::uint8_t* gaps;
  const std::uint8_t* codes;
  /// Position of the element before the first symbol's zeros: p(i) = before + gap(i) + 1, modulo 2^64 (p(-1) = -1).
  std::uint64_t before;
};

/// Reads a payload's segments; one of version 2 as if it had the gaps layout, its gaps at most 255 wide. Every segment that is handed out is well formed: its codes are at most `centroids` and its
/// positions below `elements`. About 70 KiB; meant for the stack.
class SegmentReader {
 public:
  explicit SegmentReader(const Payload& payload)
      : payload_(payload), contexts_(payload.contexts ? std::make_unique<ContextReader>(payload) : nullptr) {}

  /// The next segment, or null behind the last. Throws PayloadError `code-range`, `stream` or `position`; where several are
  /// violated anywhere in the payload, the first in this order. A payload whose streams are both constant and whose codes are
  /// zero yields no segment: its number of symbols is bounded by no byte of it.
  const Segment* next();

 private:
  const Segment* next_of_contexts();
  bool load_group();
  bool start();
  void check(unsigned lane);
  [[nodiscard]] bool violated() const { return code_range_ || stream_ || position_; }
  [[noreturn]] void fail() const;

  const Payload& payload_;
  std::unique_ptr<ContextReader> contexts_;
  std::uint64_t context_segment_ = 0;  // the next to be decoded
  unsigned context_symbol_ = 0;        // the next of the one that is decoded
  std::uint64_t handed_out_ = 0;       // pieces of them
  std::uint64_t group_first_ = 0;  // first segment in the buffers
  unsigned group_count_ = 0;
  unsigned lane_ = 0;
  bool started_ = false;
  std::uint64_t before_ = ~std::uint64_t{0};  // -1
  // The violations found so far: the rest is still read, so that the first in the page's order is named.
  bool code_range_ = false;
  bool stream_ = false;
  bool position_ = false;
  Segment segment_{};
  SegmentGroup codes_;
  SegmentGroup gaps_;
};

}  // namespace sparsebook::decode
