#include "kernels/conv.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/accumulate.h"

namespace sparsebook::kernels {
namespace {

// The narrowest tile that covers `outputs`, or the widest there is.
unsigned tile_width(std::size_t outputs) {
  for (const unsigned width : {1u, 4u, 8u, 16u}) {
    if (outputs <= width) return width;
  }
  return MAX_TILE;
}

void tile(unsigned width, const SparseMatrix& weight, std::size_t row, const float* source, const std::size_t* offsets,
          float* out) {
  const auto offset = [offsets](std::uint32_t column) { return offsets[column]; };
  switch (width) {
    case 1: out[0] = accumulate_one(weight, row, source, offset); break;
    case 4: accumulate<4>(weight, row, source, offset, out); break;
    case 8: accumulate<8>(weight, row, source, offset, out); break;
    case 16: accumulate<16>(weight, row, source, offset, out); break;
    default: accumulate<MAX_TILE>(weight, row, source, offset, out); break;
  }
}

}  // namespace

Conv::Conv(const ConvShape& shape) : shape_(shape), planes_(shape), input_floats_(1), output_floats_(1) {
  for (const ConvAxis& axis : shape.axis) {
    input_floats_ *= axis.input;
    output_floats_ *= axis.output;
  }
  // A tile reads MAX_TILE floats at most from its start on. In the input itself the last tile is moved back to end with the
  // plane, for which the plane has to be that wide; the laid-out planes have that much room behind them.
  direct_ = planes_.is_input() && planes_.virtual_outputs() >= MAX_TILE;
  scratch_ = 0;
  if (!direct_) {
    const std::size_t channels = shape.group * shape.group_inputs;
    if (__builtin_mul_overflow(channels, planes_.channel_floats(), &scratch_) ||
        __builtin_add_overflow(scratch_, std::size_t{MAX_TILE}, &scratch_)) {
      throw std::length_error("the padded input is larger than memory");
    }
  }
}

void Conv::run(const SparseMatrix& weight, const float* x, const float* bias, const Activation& activation, float* scratch,
               float* y) const {
  const std::size_t channels = shape_.group * shape_.group_inputs;
  if (planes_.virtual_outputs() == 0) return;
  if (!direct_) std::fill_n(scratch + scratch_ - MAX_TILE, MAX_TILE, 0.0f);
  for (std::size_t n = 0; n < shape_.batch; ++n) {
    if (!direct_) {
      for (std::size_t c = 0; c < channels; ++c) planes_.fill(x + c * input_floats_, scratch + c * planes_.channel_floats());
    }
    image(weight, direct_ ? x : scratch, bias, activation, y);
    x += channels * input_floats_;
    y += weight.rows * output_floats_;
  }
}

// Tiles of virtual outputs outside, output channels inside: a tile's inputs stay in the cache while all channels pass over them.
void Conv::image(const SparseMatrix& weight, const float* planes, const float* bias, const Activation& activation,
                 float* y) const {
  const std::size_t outputs = planes_.virtual_outputs();
  const std::size_t group_floats = shape_.group_inputs * planes_.channel_floats();
  ConvPlanes::Run runs[MAX_TILE];
  float sums[MAX_TILE];
  for (std::size_t next = 0; next < outputs;) {
    const unsigned width = tile_width(outputs - next);
    const std::size_t begin = next + width > outputs && outputs >= width ? outputs - width : next;
    next = begin + width;
    const std::size_t run_count = planes_.runs(begin, width, runs);
    if (run_count == 0) continue;
    for (std::size_t m = 0; m < weight.rows; ++m) {
      const float* source = planes + m / shape_.group_outputs * group_floats + begin;
      tile(width, weight, m, source, planes_.offsets().data(), sums);
      float* out = y + m * output_floats_;
      const float shift = bias == nullptr ? 0.0f : bias[m];
      for (std::size_t r = 0; r < run_count; ++r) {
        const ConvPlanes::Run& run = runs[r];
        for (std::size_t i = 0; i < run.length; ++i) out[run.to + i] = activation(sums[run.from + i] + shift);
      }
    }
  }
}

}  // namespace sparsebook::kernels
