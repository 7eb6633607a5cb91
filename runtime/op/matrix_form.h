// The non-zeros of a payload by output, from which the kernels make their layouts.
#pragma once

#include "abi/kernel_api.h"
#include "decode/rows.h"
#include "kernels/sparse_matrix.h"
#include "op/weight.h"

namespace sparsebook::op {

/// An empty weight is refused: its dimensions bound nothing that is allocated.
inline void refuse_empty(const abi::Shape& shape) {
  for (const std::int64_t size : shape) {
    if (size == 0) throw abi::OperatorError("the weight's shape " + abi::to_string(shape) + " has no elements");
  }
}

/// Reads a weight that is not empty as `outer` x the rest.
[[nodiscard]] inline decode::Rows read_rows(const decode::Payload& payload, decode::Orientation orientation) {
  const std::uint64_t outer = payload.shape.front();
  return decode::decode_rows(payload, outer, payload.elements / outer, orientation);
}

/// Borrows what `rows` holds.
[[nodiscard]] inline kernels::SparseMatrix matrix_of(const decode::Rows& rows, unsigned centroids) {
  return {static_cast<std::size_t>(rows.rows), static_cast<std::size_t>(rows.columns),
          rows.start.data(),                   rows.column.data(),
          rows.code.data(),                    rows.codebook.data(),
          centroids};
}

}  // namespace sparsebook::op
