// The sum of two tensors that need not have the same shape, by the rules of ONNX's and NumPy's broadcasting.
#pragma once

#include "abi/kernel_api.h"
#include "kernels/activation.h"

namespace sparsebook::op {

/// The shape of a + b. Throws OperatorError if they do not fit.
[[nodiscard]] abi::Shape broadcast_shape(const abi::Shape& a, const abi::Shape& b);

struct Addend {
  const float* data;
  abi::Shape shape;
};

/// y = activation(a + b), y having the shape of both. An element at a time: for what is seldom met.
void add_broadcast(const Addend& a, const Addend& b, const kernels::Activation& activation, float* y);

}  // namespace sparsebook::op
