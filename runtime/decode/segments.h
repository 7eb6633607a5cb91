// Decoding the segments of one stream (docs/format.md, section 4).
#pragma once

#include <cstddef>
#include <cstdint>

#include "decode/payload.h"

namespace sparsebook::decode {

inline constexpr unsigned LANES = 4;  ///< segments that are decoded side by side, to hide the table look-up's latency

/// Symbols of up to LANES consecutive segments.
struct SegmentGroup {
  alignas(64) std::uint8_t symbol[LANES][SEGMENT_SYMBOLS];
  bool well_formed[LANES];  ///< the segment ends in its last byte and its unused bits are zero
};

/// Decodes `count` (1..LANES) segments of a stream from segment `first` on. Reads within [stream.bytes, payload.end) only,
/// whatever the bytes are; a malformed segment still fills its symbols.
void decode_segments(const Payload& payload, const Stream& stream, std::uint64_t first, unsigned count, SegmentGroup& group);

}  // namespace sparsebook::decode
