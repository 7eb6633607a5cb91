// Rows of an image with a vector of channels side by side at every position, as kernels want them whose lanes are channels.
#pragma once

#include <cstddef>

#include "kernels/conv_planes.h"
#include "kernels/conv_weight.h"
#include "kernels/scratch.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

/// The shape with a column of values taken for a row: the two lie alike, and kernels go along rows.
[[nodiscard]] ConvShape laid_flat(const ConvShape& shape);

/// Neighbouring channels of one row: channel c's positions begin at at + c * image. No row, only padding, where `at` is null.
struct ChannelRow {
  const float* at;
  std::size_t image;     ///< positions of a channel
  std::size_t channels;  ///< no more than a vector's lanes; the others become zero
  std::size_t width;     ///< positions of the row
};

/// Lays out the positions [first, first + columns), those before and behind the row as zeros: columns * lanes floats.
void lay_out_lanes(const Variant& variant, const ChannelRow& row, std::ptrdiff_t first, std::size_t columns, float* to);

/// Where a row of results belongs: `width` outputs from `at` on, of `channels` output channels from `channel` on, `image` apart.
struct ResultRow {
  std::size_t at;
  std::size_t image;
  std::size_t channel;
  std::size_t channels;
  std::size_t width;
};

/// Stores activation(scale * lanes + bias + addend).
void store_lanes(const Variant& variant, const float* lanes, const ResultRow& row, const ConvArguments& arguments, Scratch& scratch, float* y);

}  // namespace sparsebook::kernels
