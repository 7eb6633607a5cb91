#include "op/gather_op.h"

#include <string>
#include <utility>

namespace sparsebook::op {
namespace {

decode::RowIndex make_index(decode::Payload payload) {
  if (payload.elements == 0) {
    throw abi::OperatorError("the weight's shape " + abi::to_string(shape_of(payload)) + " has no rows to gather");
  }
  if (payload.shape.empty()) throw abi::OperatorError("the weight is a scalar; Gather takes rows");
  const std::uint64_t rows = payload.shape.front();
  const std::uint64_t width = payload.elements / rows;
  return decode::RowIndex(std::move(payload), rows, width);
}

template <class Index>
void gather(const decode::RowIndex& weight, const std::uint8_t* payload, const abi::Tensor& indices, float* y) {
  const auto rows = static_cast<std::int64_t>(weight.rows());
  const auto* index = static_cast<const Index*>(indices.data);
  const std::size_t count = indices.elements();
  for (std::size_t i = 0; i < count; ++i, y += weight.width()) {
    const std::int64_t row = index[i] < 0 ? index[i] + rows : std::int64_t{index[i]};
    if (row < 0 || row >= rows) {
      throw abi::OperatorError("index " + std::to_string(index[i]) + " is out of range [" + std::to_string(-rows) + ", " +
                               std::to_string(rows - 1) + "]");
    }
    weight.decode(payload, static_cast<std::uint64_t>(row), y);
  }
}

}  // namespace

Gather::Gather(const abi::KernelInfo& info) : weight_(info, 0, make_index) {
  if (const std::int64_t axis = info.attribute_int("axis").value_or(0); axis != 0) {
    throw abi::OperatorError("Gather's axis is " + std::to_string(axis) + ", which must be 0");
  }
}

void Gather::compute(const abi::KernelContext& context) const {
  const auto weight = weight_.get(context);
  const abi::Tensor payload = context.input(0);
  const abi::Tensor indices = context.input(1);
  if (indices.element_type != abi::INT32 && indices.element_type != abi::INT64) {
    throw abi::OperatorError("Gather's indices must be int32 or int64");
  }
  abi::Shape shape = indices.shape;
  shape.insert(shape.end(), weight->payload().shape.begin() + 1, weight->payload().shape.end());
  float* y = context.output(0, shape);
  if (indices.element_type == abi::INT32) {
    gather<std::int32_t>(*weight, payload.bytes(), indices, y);
  } else {
    gather<std::int64_t>(*weight, payload.bytes(), indices, y);
  }
}

}  // namespace sparsebook::op
