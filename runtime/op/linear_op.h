// sparsebook::Gemm and sparsebook::MatMul: activations times a sparse matrix.
#pragma once

#include <memory>

#include "abi/kernel_api.h"
#include "kernels/activation.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

/// A matrix that activations are multiplied by.
class LinearWeight final : public DecodedWeight {
 public:
  LinearWeight(abi::Shape shape, const kernels::SparseMatrix& matrix);
  [[nodiscard]] const kernels::Matmul& matmul() const { return matmul_; }
  [[nodiscard]] const char* form() const override { return matmul_.form(); }
  [[nodiscard]] std::size_t bytes() const override { return matmul_.bytes(); }

 private:
  kernels::Matmul matmul_;
};

class Gemm {
 public:
  static constexpr const char* NAME = "Gemm";
  static constexpr Input INPUTS[] = {{abi::FLOAT}, {abi::UINT8}, {abi::FLOAT, abi::OPTIONAL}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::REQUIRED};

  explicit Gemm(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  float alpha_;
  float beta_;
  bool transposed_x_;
  kernels::Activation activation_;
  Weight<LinearWeight> weight_;
  std::shared_ptr<kernels::Scratch> scratch_;
};

class MatMul {
 public:
  static constexpr const char* NAME = "MatMul";
  static constexpr Input INPUTS[] = {{abi::FLOAT}, {abi::UINT8}, {abi::FLOAT, abi::OPTIONAL}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::REQUIRED};

  explicit MatMul(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  kernels::Activation activation_;
  Weight<LinearWeight> weight_;
  std::shared_ptr<kernels::Scratch> scratch_;
};

}  // namespace sparsebook::op
