// Convolution with a sparse weight, one output channel a row.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/activation.h"
#include "kernels/conv_planes.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"
#include "kernels/sparse_matrix.h"
#include "kernels/variant.h"
#include "kernels/wide_layout.h"

namespace sparsebook::kernels {

/// A weight in the layout that convolutions take: one of its own for every group.
class ConvWeight {
 public:
  /// `weight` has a row an output channel, columns in the order channel of the group, kernel elements.
  ConvWeight(const Variant& variant, const SparseMatrix& weight, std::size_t groups);

  [[nodiscard]] const Variant& variant() const { return *variant_; }
  [[nodiscard]] const WideLayout& group(std::size_t index) const { return groups_[index]; }
  [[nodiscard]] const float* codebook() const { return codebook_.data(); }
  [[nodiscard]] std::size_t bytes() const;
  /// "block" or "codes" (wide_layout.h).
  [[nodiscard]] const char* form() const { return groups_.front().form(); }
 private:
  const Variant* variant_;
  std::vector<float> codebook_;
  std::vector<WideLayout> groups_;
};

/// A convolution of one shape; build it once for a shape, run it on as many threads as there are.
class Conv {
 public:
  Conv(const ConvShape& shape, const ConvWeight& weight);

  /// y = activation(convolution of x with the weight that the constructor was given + bias); `bias` has a value an output channel or
  /// is null. Sums are taken in float32, in an order that depends on shapes alone. `scratch` may serve any number of convolutions.
  void run(const ConvWeight& weight, const float* x, const float* bias, const Activation& activation, const Parallel& parallel,
           Scratch& scratch, float* y) const;

 private:
  struct Image;
  class TileColumns;
  void tile(const Image& image, std::size_t group, std::size_t index, std::size_t range) const;

  ConvShape shape_;
  ConvPlanes planes_;
  std::size_t input_floats_;   // of one channel
  WideTile tile_;              // of outputs
  std::size_t tiles_;
  std::size_t ranges_;         // of output channels, where there are few tiles
};

}  // namespace sparsebook::kernels
