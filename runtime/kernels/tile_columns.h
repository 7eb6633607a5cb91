// What a tile of a convolution's outputs meets, copied side by side for kernels that want it so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/conv_planes.h"
#include "kernels/variant.h"
#include "kernels/wide_layout.h"

namespace sparsebook::kernels {

class TileColumns {
 public:
  /// The outputs [output, output + width), and zeros for those that the convolution does not have.
  TileColumns(const ConvPlanes& planes, const Variant& variant, std::size_t output, std::size_t width);

  /// Lays out a block's columns of the group whose first channel is at `from`, `width` outputs side by side, and a column of zeros where the
  /// layout wants one. Writes up to MOST_LANES floats behind them. Planes and variant are the constructor's.
  void lay_out(const ConvPlanes& planes, const Variant& variant, const WideLayout& layout, std::size_t block, const float* from,
               float* to) const;

 private:
  std::size_t width_;
  std::vector<CopyRun> runs_;
  std::vector<std::size_t> starts_;   // of every element's runs, and their end
  std::vector<std::int32_t> ahead_;   // where the rows lie that the elements meet, a cache line each
};

}  // namespace sparsebook::kernels
