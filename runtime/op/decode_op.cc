#include "op/decode_op.h"

#include <algorithm>

#include "decode/dense.h"

namespace sparsebook::op {
namespace {

abi::Shape read_shape(const abi::KernelInfo& info) {
  std::optional<abi::Shape> shape = info.attribute_ints("shape");
  if (!shape) throw abi::OperatorError("Decode needs the attribute 'shape'");
  return *std::move(shape);
}

}  // namespace

Decode::Decode(const abi::KernelInfo& info)
    : shape_(read_shape(info)), weight_(info, 0, [this](const decode::Payload& payload) {
        if (shape_of(payload) != shape_) {
          throw abi::OperatorError("the weight's shape is " + abi::to_string(shape_of(payload)) + ", the node says " +
                                   abi::to_string(shape_));
        }
        std::vector<float> values(static_cast<std::size_t>(payload.elements));
        decode::decode_dense(payload, values.data());
        return values;
      }) {}

void Decode::compute(const abi::KernelContext& context) const {
  const auto values = weight_.get(context);
  std::copy(values->begin(), values->end(), context.output(0, shape_));
}

}  // namespace sparsebook::op
