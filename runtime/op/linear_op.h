// sparsebook::Gemm and sparsebook::MatMul: activations times a sparse matrix.
#pragma once

#include "abi/kernel_api.h"
#include "kernels/activation.h"
#include "op/custom_op.h"
#include "op/matrix_form.h"
#include "op/weight.h"

namespace sparsebook::op {

class Gemm {
 public:
  static constexpr const char* NAME = "Gemm";
  static constexpr Input INPUTS[] = {{abi::FLOAT}, {abi::UINT8}, {abi::FLOAT, abi::OPTIONAL}};

  explicit Gemm(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  float alpha_;
  float beta_;
  bool transposed_x_;
  kernels::Activation activation_;
  Weight<MatrixForm> weight_;
};

class MatMul {
 public:
  static constexpr const char* NAME = "MatMul";
  static constexpr Input INPUTS[] = {{abi::FLOAT}, {abi::UINT8}};

  explicit MatMul(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  kernels::Activation activation_;
  Weight<MatrixForm> weight_;
};

}  // namespace sparsebook::op
