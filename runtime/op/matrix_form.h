// The form that Gemm, MatMul and Conv compute from: the weight's non-zeros by output.
#pragma once

#include "abi/kernel_api.h"
#include "decode/rows.h"
#include "kernels/sparse_matrix.h"
#include "op/weight.h"

namespace sparsebook::op {

struct MatrixForm {
  abi::Shape shape;  ///< of the weight, as stored
  decode::Rows rows;

  [[nodiscard]] kernels::SparseMatrix matrix() const {
    return {static_cast<std::size_t>(rows.rows), static_cast<std::size_t>(rows.columns),
            rows.start.data(),                   rows.column.data(),
            rows.code.data(),                    rows.codebook.data()};
  }
};

/// Reads the weight as `outer` x the rest. An empty weight is refused: its dimensions bound nothing that is allocated.
[[nodiscard]] inline MatrixForm make_matrix(const decode::Payload& payload, decode::Orientation orientation) {
  if (payload.elements == 0) {
    throw abi::OperatorError("the weight's shape " + abi::to_string(shape_of(payload)) + " has no elements");
  }
  const std::uint64_t outer = payload.shape.front();
  return {shape_of(payload), decode::decode_rows(payload, outer, payload.elements / outer, orientation)};
}

}  // namespace sparsebook::op
