#include "kernels/tile_columns.h"

#include <algorithm>

namespace sparsebook::kernels {
namespace {

constexpr std::size_t AHEAD = 2;  // channels that are prefetched ahead

}  // namespace

TileColumns::TileColumns(const ConvPlanes& planes, const Variant& variant, std::size_t output, std::size_t width)
    : width_(width), vectors_((width + variant.lanes - 1) / variant.lanes) {
  for (std::size_t element = 0; element < planes.elements(); ++element) {
    starts_.push_back(segments_.size());
    planes.segments(element, output, vectors_, variant.lanes, segments_, counts_);
    if (!planes.begins_row(element)) continue;
    for (std::size_t s = starts_.back(); s < segments_.size(); ++s) ahead_.push_back(segments_[s].from);
  }
}

void TileColumns::lay_out(const ConvPlanes& planes, const Variant& variant, const WideLayout& layout, std::size_t block,
                          const float* from, float* to) const {
  const std::size_t first = block * layout.block_columns();
  const std::size_t last = std::min(first + layout.block_columns(), layout.columns());
  std::size_t element = first % planes.elements();
  const float* channel = from + first / planes.elements() * planes.channel_floats();
  float* next = to;
  for (std::size_t column = first; column < last; ++column, next += width_) {
    if (element == 0) {
      // A channel's rows are short, and the next channel's far away: no prefetcher finds them.
      const float* const later = channel + AHEAD * planes.channel_floats();
      for (const std::int32_t at : ahead_) __builtin_prefetch(later + at);
    }
    variant.copy({segments_.data() + starts_[element], counts_.data() + element * vectors_, vectors_}, channel, next);
    if (++element == planes.elements()) {
      element = 0;
      channel += planes.channel_floats();
    }
  }
  std::fill_n(to + layout.block_columns() * width_, (layout.laid_out_columns() - layout.block_columns()) * width_, 0.0f);
}

}  // namespace sparsebook::kernels
