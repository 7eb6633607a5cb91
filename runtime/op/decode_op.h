// sparsebook::Decode: the whole weight, dense, for consumers that have no kernel here.
#pragma once

#include <vector>

#include "abi/kernel_api.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

class DenseWeight final : public DecodedWeight {
 public:
  explicit DenseWeight(const decode::Payload& payload);
  [[nodiscard]] const std::vector<float>& values() const { return values_; }
  [[nodiscard]] const char* form() const override { return "dense"; }
  [[nodiscard]] std::size_t bytes() const override { return values_.size() * sizeof(float); }

 private:
  std::vector<float> values_;
};

class Decode {
 public:
  static constexpr const char* NAME = "Decode";
  static constexpr Input INPUTS[] = {{abi::UINT8}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::REQUIRED};

  explicit Decode(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  abi::Shape shape_;
  Weight<DenseWeight> weight_;
};

}  // namespace sparsebook::op
