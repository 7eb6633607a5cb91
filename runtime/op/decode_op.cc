#include "op/decode_op.h"

#include <algorithm>
#include <memory>

#include "decode/dense.h"

namespace sparsebook::op {
namespace {

abi::Shape read_shape(const abi::KernelInfo& info) {
  std::optional<abi::Shape> shape = info.attribute_ints("shape");
  if (!shape) throw abi::OperatorError("Decode needs the attribute 'shape'");
  return *std::move(shape);
}

}  // namespace

DenseWeight::DenseWeight(const decode::Payload& payload)
    : DecodedWeight(shape_of(payload)), values_(static_cast<std::size_t>(payload.elements)) {
  decode::decode_dense(payload, values_.data());
}

Decode::Decode(const abi::KernelInfo& info)
    : shape_(read_shape(info)),
      weight_(
          info, 0, "dense",
          [this](const abi::Shape& shape) {
            if (shape == shape_) return;
            throw abi::OperatorError("the weight's shape is " + abi::to_string(shape) + ", the node says " + abi::to_string(shape_));
          },
          [](const decode::Payload& payload) { return std::make_shared<const DenseWeight>(payload); }) {}

void Decode::compute(const abi::KernelContext& context) const {
  const auto weight = weight_.get(context);
  std::copy(weight->values().begin(), weight->values().end(), context.output(0, shape_));
}

}  // namespace sparsebook::op
