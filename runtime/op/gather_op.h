// sparsebook::Gather: rows of a weight, decoded as they are asked for.
#pragma once

#include "abi/kernel_api.h"
#include "kernels/row_table.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

class TableWeight final : public DecodedWeight {
 public:
  explicit TableWeight(const decode::Payload& payload);
  [[nodiscard]] const kernels::RowTable& table() const { return table_; }
  [[nodiscard]] const char* form() const override { return "rows"; }
  [[nodiscard]] std::size_t bytes() const override { return table_.bytes(); }

 private:
  kernels::RowTable table_;
};

class Gather {
 public:
  static constexpr const char* NAME = "Gather";
  // ONNX Runtime takes any tensor for an undefined type: one operator for int32 and int64.
  static constexpr Input INPUTS[] = {{abi::UINT8}, {abi::UNDEFINED}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::REQUIRED};

  explicit Gather(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  Weight<TableWeight> weight_;
};

}  // namespace sparsebook::op
