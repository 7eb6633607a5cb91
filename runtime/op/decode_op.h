// sparsebook::Decode: the whole weight, dense, for consumers that have no kernel here.
#pragma once

#include <vector>

#include "abi/kernel_api.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

class Decode {
 public:
  static constexpr const char* NAME = "Decode";
  static constexpr Input INPUTS[] = {{abi::UINT8}};

  explicit Decode(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  abi::Shape shape_;
  Weight<std::vector<float>> weight_;
};

}  // namespace sparsebook::op
