#include "kernels/tile_columns.h"

#include <algorithm>

namespace sparsebook::kernels {
namespace {

constexpr std::size_t AHEAD = 2;  // channels that are prefetched ahead

}  // namespace

TileColumns::TileColumns(const ConvPlanes& planes, const Variant& variant, std::size_t output, std::size_t width) : width_(width) {
  for (std::size_t element = 0; element < planes.elements(); ++element) {
    starts_.push_back(runs_.size());
    planes.copies(element, output, width, variant.lanes, runs_);
    if (!planes.begins_row(element)) continue;
    for (std::size_t r = starts_.back(); r < runs_.size(); ++r) {
      for (std::int32_t i = 0; runs_[r].from != NOTHING && i < runs_[r].count; i += 16) ahead_.push_back(runs_[r].from + i);
    }
  }
  starts_.push_back(runs_.size());
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
    variant.copy(runs_.data() + starts_[element], starts_[element + 1] - starts_[element], channel, next);
    if (++element == planes.elements()) {
      element = 0;
      channel += planes.channel_floats();
    }
  }
  std::fill_n(to + layout.block_columns() * width_, (layout.laid_out_columns() - layout.block_columns()) * width_, 0.0f);
}

}  // namespace sparsebook::kernels
