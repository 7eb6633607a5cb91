#include "decode/dense.h"

#include <algorithm>

#include "decode/segment_reader.h"

namespace sparsebook::decode {

void decode_dense(const Payload& payload, float* values) {
  const float* codebook = payload.codebook.data();
  std::fill_n(values, payload.elements, 0.0f);
  SegmentReader reader(payload);
  while (const Segment* segment = reader.next()) {
    if (payload.layout == LAYOUT_DENSE) {
      float* out = values + (segment->before + 1);  // before the first element it is -1
      for (unsigned i = 0; i < segment->symbols; ++i) out[i] = codebook[segment->codes[i]];
      continue;
    }
    std::uint64_t position = segment->before;
    for (unsigned i = 0; i < segment->symbols; ++i) {
      position += std::uint64_t{segment->gaps[i]} + 1;
      values[position] = codebook[segment->codes[i]];
    }
  }
}

}  // namespace sparsebook::decode
