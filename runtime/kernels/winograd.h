// Convolution by Winograd's tiles (variants/winograd_kernel.h): with kernels of 3 x 3 a quarter of the multiplications, at any density.
//
// Its weights lie as codes. They are transformed anew for every block of tiles, some output channels at a time, so that a weight's floats never
// exist as a whole: a transformed one would take sixteen times the memory of its codes.
#pragma once

#include <cstddef>

#include "kernels/conv_planes.h"
#include "kernels/conv_weight.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

class Winograd {
 public:
  /// The transforms for kernels of that many elements on the last two axes; null where the variant has none.
  [[nodiscard]] static const WinogradTransforms* transforms(const Variant& variant, std::size_t high, std::size_t wide);

  /// Those for a shape, whose strides and dilations are all one and whose first axis is none; null where there are none.
  [[nodiscard]] static const WinogradTransforms* transforms(const Variant& variant, const ConvShape& shape);

  /// There are transforms for the shape.
  Winograd(const Variant& variant, const ConvShape& shape);

  /// Of all of it, in the variant's unit.
  [[nodiscard]] double cost() const;

  /// y = activation(scale * convolution + bias + addend), as Conv::run. Every group of the weight lies as codes. Returns false where a sum is
  /// not finite: an infinite activation spoils its neighbours in a tile, and huge ones overflow in transforms whose outputs would not. y then is to
  /// be computed by another way.
  bool run(const ConvWeight& weight, const ConvArguments& arguments, const Parallel& parallel, Scratch& scratch, float* y) const;

 private:
  /// Neighbouring tiles of a row of them.
  struct Run {
    std::size_t image;
    std::size_t row;
    std::size_t first;
    std::size_t count;
    std::size_t at;  ///< among the block's tiles
  };
  /// Some tiles, of which everything is computed together.
  struct Block {
    std::size_t first;
    std::size_t count;
    std::size_t group;
  };

  template <class Body>
  void for_runs(const Block& block, const Body& body) const;
  bool run_block(const ConvCall& call, const Block& block, const Parallel& parallel) const;
  void lay_out_inputs(const ConvCall& call, const Block& block, std::size_t part, const WinogradPlane& to) const;
  void lay_out_strip(const ConvCall& call, const Block& block, const Run& run, std::size_t channel, float* strip) const;
  bool sum_channels(const ConvCall& call, const Block& block, std::size_t part, const WinogradPlane& inputs) const;
  bool put_outputs(const ConvCall& call, const Block& block, std::size_t channel, const WinogradPlane& sums) const;
  void store(const ConvCall& call, const Block& block, const Run& run, std::size_t channel, const float* strip) const;

  [[nodiscard]] std::size_t tiles() const { return shape_.batch * tile_rows_ * tile_columns_; }
  [[nodiscard]] std::size_t blocks() const { return (tiles() + block_tiles_ - 1) / block_tiles_; }
  [[nodiscard]] std::size_t strip_columns(std::size_t tiles) const {
    return tiles * transforms_->wide.out + transforms_->wide.points - transforms_->wide.out;
  }
  [[nodiscard]] std::size_t input_vectors() const { return (shape_.group_inputs + variant_->lanes - 1) / variant_->lanes; }
  [[nodiscard]] std::size_t column_blocks() const { return (shape_.group_outputs + kernels_->columns - 1) / kernels_->columns; }

  const Variant* variant_;
  const WinogradKernels* kernels_;
  const WinogradTransforms* transforms_;
  ConvShape shape_;
  std::size_t points_;
  std::size_t tile_rows_;
  std::size_t tile_columns_;
  std::size_t block_tiles_;
};

}  // namespace sparsebook::kernels
