// sparsebook::Gather: rows of a weight, decoded as they are asked for.
#pragma once

#include "abi/kernel_api.h"
#include "decode/row_index.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

class Gather {
 public:
  static constexpr const char* NAME = "Gather";
  // ONNX Runtime takes any tensor for an undefined type: one operator for int32 and int64.
  static constexpr Input INPUTS[] = {{abi::UINT8}, {abi::UNDEFINED}};

  explicit Gather(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  Weight<decode::RowIndex> weight_;
};

}  // namespace sparsebook::op
