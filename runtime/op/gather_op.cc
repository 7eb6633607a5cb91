#include "op/gather_op.h"

#include <memory>
#include <string>

#include "decode/symbols.h"
#include "kernels/variants.h"
#include "op/session_threads.h"

namespace sparsebook::op {
namespace {

void check_rows(const abi::Shape& shape) {
  for (const std::int64_t size : shape) {
    if (size == 0) throw abi::OperatorError("the weight's shape " + abi::to_string(shape) + " has no rows to gather");
  }
  if (shape.empty()) throw abi::OperatorError("the weight is a scalar; Gather takes rows");
}

template <class Index>
void gather(const kernels::RowTable& table, const abi::Tensor& indices, const kernels::Parallel& parallel, float* y) {
  const auto rows = static_cast<std::int64_t>(table.rows());
  const auto* index = static_cast<const Index*>(indices.data);
  const std::size_t count = indices.elements();
  for (std::size_t i = 0; i < count; ++i) {
    if (index[i] >= -rows && index[i] < rows) continue;
    throw abi::OperatorError("index " + std::to_string(index[i]) + " is out of range [" + std::to_string(-rows) + ", " +
                             std::to_string(rows - 1) + "]");
  }
  table.gather(index, count, parallel, y);
}

kernels::RowTable table_of(const decode::Payload& payload) {
  const std::uint64_t rows = payload.shape.front();
  const std::uint64_t width = payload.elements / rows;
  kernels::RowTable table(kernels::chosen_variant(), rows, width, decode::count_nonzeros(payload), payload.codebook.data(),
                          payload.centroids);
  decode::for_each_symbol(payload, width, [&](std::uint64_t row, std::uint64_t column, std::uint8_t code) {
    if (code != 0) table.append(row, column, code);
  });
  table.finish();
  return table;
}

}  // namespace

TableWeight::TableWeight(const decode::Payload& payload) : DecodedWeight(shape_of(payload)), table_(table_of(payload)) {}

Gather::Gather(const abi::KernelInfo& info)
    : weight_(info, 0, "rows of a table", check_rows,
              [](const decode::Payload& payload) { return std::make_shared<const TableWeight>(payload); }) {
  if (const std::int64_t axis = info.attribute_int("axis").value_or(0); axis != 0) {
    throw abi::OperatorError("Gather's axis is " + std::to_string(axis) + ", which must be 0");
  }
}

void Gather::compute(const abi::KernelContext& context) const {
  const auto weight = weight_.get(context);
  const abi::Tensor indices = context.input(1);
  if (indices.element_type != abi::INT32 && indices.element_type != abi::INT64) {
    throw abi::OperatorError("Gather's indices must be int32 or int64");
  }
  abi::Shape shape = indices.shape;
  shape.insert(shape.end(), weight->shape().begin() + 1, weight->shape().end());
  float* y = context.output(0, shape);
  if (indices.element_type == abi::INT32) {
    gather<std::int32_t>(weight->table(), indices, SessionThreads(context), y);
  } else {
    gather<std::int64_t>(weight->table(), indices, SessionThreads(context), y);
  }
}

}  // namespace sparsebook::op
