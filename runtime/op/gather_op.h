// sparsebook::Gather: rows of a weight, decoded as they are asked for.
#pragma once

#include "abi/kernel_api.h"
#include "decode/row_index.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

class IndexedWeight final : public DecodedWeight {
 public:
  explicit IndexedWeight(const decode::Payload& payload);
  [[nodiscard]] const decode::RowIndex& index() const { return index_; }
  [[nodiscard]] const char* form() const override { return "rows"; }
  [[nodiscard]] std::size_t bytes() const override { return static_cast<std::size_t>(index_.rows()) * sizeof(decode::RowStart); }

 private:
  decode::RowIndex index_;
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
  Weight<IndexedWeight> weight_;
};

}  // namespace sparsebook::op
