// Convolution with a sparse weight, one output channel a row.
#pragma once

#include <cstddef>

#include "kernels/activation.h"
#include "kernels/conv_planes.h"
#include "kernels/sparse_matrix.h"

namespace sparsebook::kernels {

/// A convolution of one shape; build it once for a shape, run it on as many threads as there are.
class Conv {
 public:
  explicit Conv(const ConvShape& shape);

  /// Floats of scratch that `run` needs.
  [[nodiscard]] std::size_t scratch() const { return scratch_; }

  /// y = activation(convolution of x with `weight` + bias). `weight` has a row an output channel, columns in the order
  /// channel of the group, kernel elements; `bias` has a value an output channel or is null. Sums are taken in float32.
  void run(const SparseMatrix& weight, const float* x, const float* bias, const Activation& activation, float* scratch,
           float* y) const;

 private:
  void image(const SparseMatrix& weight, const float* planes, const float* bias, const Activation& activation, float* y) const;

  ConvShape shape_;
  ConvPlanes planes_;
  std::size_t input_floats_;   // of one channel
  std::size_t output_floats_;  // of one channel
  bool direct_;                // the input itself is read
  std::size_t scratch_;
};

}  // namespace sparsebook::kernels
