#include "decode/segment_reader.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "decode/error.h"

namespace sparsebook::decode {

// Constant gaps need no reading: p(n-1) = n (gap + 1) - 1, with n <= 2^36 and gap + 1 <= 256. Returns whether there is anything
// to read.
bool SegmentReader::start() {
  started_ = true;
  if (payload_.gaps.constant) {
    position_ = payload_.symbols * (std::uint64_t{payload_.gaps.symbol} + 1) > payload_.elements;
    if (payload_.codes.constant) {
      if (position_) fail();
      return payload_.codes.symbol != 0;
    }
  }
  return true;
}

bool SegmentReader::load_group() {
  group_first_ += group_count_;
  lane_ = 0;
  group_count_ = static_cast<unsigned>(std::min<std::uint64_t>(LANES, payload_.segments() - group_first_));
  if (group_count_ == 0) return false;
  decode_segments(payload_, payload_.codes, group_first_, group_count_, codes_);
  decode_segments(payload_, payload_.gaps, group_first_, group_count_, gaps_);
  return true;
}

// Looks at the segment in the buffers' `lane`, makes it the current one and moves `before_` behind it.
void SegmentReader::check(unsigned lane) {
  const std::uint64_t index = group_first_ + lane;
  const unsigned symbols = payload_.segment_symbols(index);
  const std::uint8_t* codes = codes_.symbol[lane];
  const std::uint8_t* gaps = gaps_.symbol[lane];
  segment_ = {index, symbols, gaps, codes, before_};
  before_ += std::accumulate(gaps, gaps + symbols, std::uint64_t{symbols});
  // Huffman codes come from an alphabet of the centroids and zero.
  const bool may_exceed = !payload_.codes.constant && !payload_.codes.table;
  if (may_exceed && *std::max_element(codes, codes + symbols) > payload_.centroids) code_range_ = true;
  if (!codes_.well_formed[lane] || !gaps_.well_formed[lane]) stream_ = true;
  // Gaps are at most 255 and symbols at most 2^36, so `before_` cannot have come round to below `elements`.
  if (before_ >= payload_.elements) position_ = true;
}

// Gaps and codes of a decoded segment of version 2, as many as the buffers hold; a gap over 255 is bridged by fillers.
const Segment* SegmentReader::next_of_contexts() {
  while (context_segment_ == 0 || context_symbol_ == contexts_->count()) {
    if (context_segment_ * CONTEXT_SEGMENT >= payload_.elements) return nullptr;
    stream_ = !contexts_->decode(context_segment_++);
    if (stream_) fail();
    context_symbol_ = 0;
  }
  std::uint8_t* const gaps = gaps_.symbol[0];
  std::uint8_t* const codes = codes_.symbol[0];
  const std::uint16_t* const positions = contexts_->positions();
  const std::uint64_t first = (context_segment_ - 1) * CONTEXT_SEGMENT;
  unsigned symbols = 0;
  std::uint64_t last = before_;
  for (; context_symbol_ < contexts_->count() && symbols < SEGMENT_SYMBOLS; ++symbols) {
    const std::uint64_t gap = first + positions[context_symbol_] - last - 1;
    const bool bridged = gap > 255;
    gaps[symbols] = static_cast<std::uint8_t>(bridged ? 255 : gap);
    codes[symbols] = bridged ? 0 : contexts_->codes()[context_symbol_];
    last += std::uint64_t{gaps[symbols]} + 1;
    context_symbol_ += !bridged;
  }
  segment_ = {handed_out_++, symbols, gaps, codes, before_};
  before_ = last;
  return &segment_;
}

const Segment* SegmentReader::next() {
  if (contexts_) return next_of_contexts();
  if (!started_ && !start()) group_first_ = payload_.segments();
  while (lane_ < group_count_ || load_group()) {
    check(lane_++);
    if (!violated()) return &segment_;
  }
  if (violated()) fail();
  return nullptr;
}

void SegmentReader::fail() const {
  if (code_range_) {
    throw PayloadError("code-range", "a code is over " + std::to_string(payload_.centroids) + ", the number of centroids");
  }
  if (stream_) throw PayloadError("stream", "a segment does not end in its last byte, or its unused bits are not zero");
  throw PayloadError("position", "a gap leads out of the " + std::to_string(payload_.elements) + " elements");
}

}  // namespace sparsebook::decode
