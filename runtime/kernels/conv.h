// Convolution with a sparse weight, one output channel a row.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "kernels/conv_planes.h"
#include "kernels/conv_weight.h"
#include "kernels/depthwise.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"
#include "kernels/tile_columns.h"
#include "kernels/variant.h"
#include "kernels/wide_layout.h"
#include "kernels/winograd.h"

namespace sparsebook::kernels {

/// A convolution of one shape; build it once for a shape, run it on as many threads as there are.
class Conv {
 public:
  Conv(const ConvShape& shape, const ConvWeight& weight);

  /// y = activation(scale * convolution of x with the weight that the constructor was given + bias + addend). Sums are taken in float32, in an
  /// order that depends on shapes alone. `scratch` may serve any number of convolutions.
  void run(const ConvWeight& weight, const ConvArguments& arguments, const Parallel& parallel, Scratch& scratch, float* y) const;

 private:
  /// Outputs, or positions, that are computed together.
  struct Tile {
    std::size_t first;
    std::size_t width;
    std::optional<TileColumns> columns;  ///< what it meets is copied side by side; else it is met where it lies
    std::vector<ConvPlanes::Run> runs;
  };
  struct Image;

  Conv(const ConvShape& shape, const ConvWeight& weight, WideForm form);
  Conv(const ConvShape& shape, const ConvWeight& weight, WideForm form, Padding padding);
  void cut(const ConvWeight& weight);
  void take_cheaper_way(const ConvWeight& weight);
  void fill(const float* x, std::size_t first, std::size_t count, float* planes) const;
  void run_wide(const Image& image, const Parallel& parallel) const;
  [[nodiscard]] double taps_cost(const ConvWeight& weight) const;
  void run_taps(const Image& image, const Parallel& parallel) const;
  void wide_tile(const Image& image, std::size_t group, std::size_t index, std::size_t range) const;
  void tap_tiles(const Image& image, std::size_t group, std::size_t begin, std::size_t end) const;
  [[nodiscard]] ColumnsAhead ahead(const Image& image, std::size_t group, std::size_t index, std::size_t block) const;
  void store(const Image& image, const Tile& tile, std::size_t channel, std::size_t count, const float* sums, std::size_t pitch) const;

  ConvShape shape_;
  ConvPlanes planes_;
  WideForm form_;
  std::size_t input_floats_;        // of one channel
  std::size_t channels_;            // of the input
  std::vector<std::ptrdiff_t> at_;  // where the activations of a group's column begin, where padding is laid out
  Tiling tiling_;                   // of a wide layout
  std::vector<Tile> tiles_;
  std::size_t ranges_ = 1;          // of output channels, where there are few tiles
  std::optional<Depthwise> depthwise_;  // where it costs less than taps
  std::optional<Winograd> winograd_;  // where it costs less than the tiles
};

}  // namespace sparsebook::kernels
