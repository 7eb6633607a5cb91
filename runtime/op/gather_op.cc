#include "op/gather_op.h"

#include <memory>
#include <string>

namespace sparsebook::op {
namespace {

void check_rows(const abi::Shape& shape) {
  for (const std::int64_t size : shape) {
    if (size == 0) throw abi::OperatorError("the weight's shape " + abi::to_string(shape) + " has no rows to gather");
  }
  if (shape.empty()) throw abi::OperatorError("the weight is a scalar; Gather takes rows");
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

IndexedWeight::IndexedWeight(const decode::Payload& payload)
    : DecodedWeight(shape_of(payload)), index_(payload, payload.shape.front(), payload.elements / payload.shape.front()) {}

Gather::Gather(const abi::KernelInfo& info)
    : weight_(info, 0, "rows of a table", check_rows,
              [](const decode::Payload& payload) { return std::make_shared<const IndexedWeight>(payload); }) {
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
  shape.insert(shape.end(), weight->shape().begin() + 1, weight->shape().end());
  float* y = context.output(0, shape);
  if (indices.element_type == abi::INT32) {
    gather<std::int32_t>(weight->index(), payload.bytes(), indices, y);
  } else {
    gather<std::int64_t>(weight->index(), payload.bytes(), indices, y);
  }
}

}  // namespace sparsebook::op
