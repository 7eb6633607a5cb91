// Sparse weight times dense activations.
#pragma once

#include <cstddef>

#include "kernels/activation.h"
#include "kernels/sparse_matrix.h"

namespace sparsebook::kernels {

/// M x K activations: element (m, k) is data[m * row_stride + k * column_stride].
struct Activations {
  const float* data;
  std::size_t rows;
  std::size_t row_stride;
  std::size_t column_stride;
};

/// What happens to a sum: activation(alpha * sum + bias(m, n)), with bias(m, n) = beta * bias[m * row_stride + n * column_stride],
/// strides of 0 broadcasting, or 0 where `bias` is null.
struct Epilogue {
  float alpha = 1;
  float beta = 1;
  const float* bias = nullptr;
  std::size_t bias_row_stride = 0;
  std::size_t bias_column_stride = 0;
  Activation activation;
};

/// Floats of scratch that `matmul` needs for this many rows of activations.
[[nodiscard]] std::size_t matmul_scratch(const SparseMatrix& weight, std::size_t rows);

/// y (M x weight.rows, row-major) = epilogue(x times the weight's transpose): output n is row n of `weight`, whose columns
/// are x's. Sums are taken in float32.
void matmul(const SparseMatrix& weight, const Activations& x, const Epilogue& epilogue, float* scratch, float* y);

}  // namespace sparsebook::kernels
