#include "kernels/conv.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "kernels/cost.h"

namespace sparsebook::kernels {
namespace {

// Columns of a block: with a tile of 128 outputs 32 KB, which stay in the first cache while all output channels pass over them.
constexpr std::size_t BLOCK_COLUMNS = 64;
// Channels that are prefetched ahead.
constexpr std::size_t AHEAD = 2;
// Where an image gives fewer tiles than this, its output channels are cut as well.
constexpr std::size_t FEW_TILES = 8;

}  // namespace

ConvWeight::ConvWeight(const Variant& variant, const SparseMatrix& weight, std::size_t groups)
    : variant_(&variant), codebook_(weight.codebook, weight.codebook + 256) {
  const std::size_t height = weight.rows / groups;
  groups_.reserve(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    const SparseMatrix part = {height,      weight.columns,  weight.start + g * height, weight.column,
                               weight.code, weight.codebook, weight.centroids};
    groups_.emplace_back(variant, part, BLOCK_COLUMNS);
  }
}

std::size_t ConvWeight::bytes() const {
  std::size_t bytes = 0;
  for (const WideLayout& group : groups_) bytes += group.bytes();
  return bytes;
}

// What the tiles of one image have in common.
struct Conv::Image {
  const ConvWeight& weight;
  const float* planes;
  const float* bias;
  const Activation& activation;
  Scratch& scratch;
  float* y;
};

Conv::Conv(const ConvShape& shape, const ConvWeight& weight) : shape_(shape), planes_(shape), input_floats_(1) {
  for (const ConvAxis& axis : shape.axis) input_floats_ *= axis.input;
  std::size_t floats = 0;
  if (__builtin_mul_overflow(shape.group * shape.group_inputs, planes_.channel_floats(), &floats) ||
      __builtin_mul_overflow(floats, sizeof(float), &floats)) {
    throw std::length_error("the padded input is larger than memory");
  }
  const WideLayout& layout = weight.group(0);
  tile_ = layout.cheapest_tile(planes_.outputs(), layout.columns());
  tiles_ = (planes_.outputs() + tile_.width - 1) / tile_.width;
  ranges_ = tiles_ == 0 ? 1 : std::max<std::size_t>(1, std::min(FEW_TILES / tiles_, layout.row_groups()));
}

void Conv::run(const ConvWeight& weight, const float* x, const float* bias, const Activation& activation, const Parallel& parallel,
               Scratch& scratch, float* y) const {
  if (planes_.outputs() == 0) return;
  const std::size_t channels = shape_.group * shape_.group_inputs;
  const std::size_t plane_floats = planes_.reads_input() ? 0 : channels * planes_.channel_floats();
  const auto laid_out = scratch.lend(plane_floats * sizeof(float));
  for (std::size_t n = 0; n < shape_.batch; ++n, x += channels * input_floats_) {
    if (!planes_.reads_input()) {
      const std::size_t parts = parts_of(static_cast<double>(plane_floats), channels);
      parallel.run(parts, [&](std::size_t part) {
        for (std::size_t c = channels * part / parts; c < channels * (part + 1) / parts; ++c) {
          planes_.fill(x + c * input_floats_, laid_out.floats() + c * planes_.channel_floats());
        }
      });
    }
    const std::size_t image_floats = shape_.group * shape_.group_outputs * planes_.outputs();
    const Image image = {weight, planes_.reads_input() ? x : laid_out.floats(), bias, activation, scratch, y + n * image_floats};
    parallel.run(shape_.group * tiles_ * ranges_, [&](std::size_t part) {
      tile(image, part / ranges_ / tiles_, part / ranges_ % tiles_, part % ranges_);
    });
  }
}

// What a tile's outputs meet through every element of the kernel.
class Conv::TileColumns {
 public:
  TileColumns(const ConvPlanes& planes, const Variant& variant, std::size_t output, std::size_t width)
      : planes_(planes), variant_(variant), width_(width), vectors_((width + variant.lanes - 1) / variant.lanes) {
    for (std::size_t element = 0; element < planes.elements(); ++element) {
      starts_.push_back(segments_.size());
      planes.segments(element, output, vectors_, variant.lanes, segments_, counts_);
      if (!planes.begins_row(element)) continue;
      for (std::size_t s = starts_.back(); s < segments_.size(); ++s) ahead_.push_back(segments_[s].from);
    }
  }

  /// Lays out a block's columns of the group whose first channel is at `from`, `width` outputs side by side, and a column of zeros.
  void lay_out(const WideLayout& layout, std::size_t block, const float* from, float* to) const {
    const std::size_t first = block * layout.block_columns();
    const std::size_t last = std::min(first + layout.block_columns(), layout.columns());
    std::size_t element = first % planes_.elements();
    const float* channel = from + first / planes_.elements() * planes_.channel_floats();
    float* next = to;
    for (std::size_t column = first; column < last; ++column, next += width_) {
      if (element == 0) {
        // A channel's rows are short, and the next channel's far away: no prefetcher finds them.
        const float* const later = channel + AHEAD * planes_.channel_floats();
        for (const std::ptrdiff_t at : ahead_) __builtin_prefetch(later + at);
      }
      variant_.copy({segments_.data() + starts_[element], counts_.data() + element * vectors_, vectors_}, channel, next);
      if (++element == planes_.elements()) {
        element = 0;
        channel += planes_.channel_floats();
      }
    }
    std::fill_n(to + layout.block_columns() * width_, (layout.laid_out_columns() - layout.block_columns()) * width_, 0.0f);
  }

 private:
  const ConvPlanes& planes_;
  const Variant& variant_;
  std::size_t width_;
  std::size_t vectors_;
  std::vector<Segment> segments_;
  std::vector<std::uint8_t> counts_;
  std::vector<std::size_t> starts_;    // of every element's segments
  std::vector<std::ptrdiff_t> ahead_;  // where the rows lie that the elements meet
};

void Conv::tile(const Image& image, std::size_t group, std::size_t index, std::size_t range) const {
  const WideLayout& layout = image.weight.group(group);
  const std::size_t width = tile_.width;
  const std::size_t begin = layout.row_groups() * range / ranges_, end = layout.row_groups() * (range + 1) / ranges_;
  const std::size_t first_row = begin * BLOCK_GROUP, last_row = std::min(end * BLOCK_GROUP, layout.rows());
  const std::size_t output = index * width;
  const std::size_t there = std::min(width, planes_.outputs() - output);

  const TileColumns columns(planes_, image.weight.variant(), output, width);
  const float* from = image.planes + group * shape_.group_inputs * planes_.channel_floats();
  const std::size_t column_floats = layout.laid_out_columns() * width + MOST_LANES;
  const std::size_t sum_floats = layout.sum_rows(last_row - first_row) * width;
  const auto memory = image.scratch.lend((column_floats + sum_floats) * sizeof(float));
  float* const block_columns = memory.floats();
  float* const sums = block_columns + column_floats;
  std::fill_n(sums, sum_floats, 0.0f);
  for (std::size_t block = 0; block < layout.blocks(); ++block) {
    columns.lay_out(layout, block, from, block_columns);
    if (block + 1 == layout.blocks()) {
      for (std::size_t row = first_row; row < last_row; ++row) {
        const float* to = image.y + (group * shape_.group_outputs + row) * planes_.outputs() + output;
        for (std::size_t i = 0; i < there; i += 16) __builtin_prefetch(to + i, 1, 2);
      }
    }
    layout.accumulate(tile_, block, begin, end, image.weight.codebook(), block_columns, sums);
  }
  for (std::size_t row = first_row; row < last_row; ++row) {
    const std::size_t m = group * shape_.group_outputs + row;
    const Finish finish = {1, 1, image.activation.low, image.activation.high, image.bias == nullptr ? nullptr : image.bias + m, 0};
    image.weight.variant().finish(sums + (row - first_row) * width, there, finish, image.y + m * planes_.outputs() + output);
  }
}

}  // namespace sparsebook::kernels
