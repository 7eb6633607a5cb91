#include "op/linear_op.h"

#include <utility>

#include "kernels/variants.h"
#include "op/activation.h"
#include "op/matrix_form.h"
#include "op/session_threads.h"

namespace sparsebook::op {
namespace {

// The weight is [K, N], or [N, K] with transB; the kernels want N rows.
Weight<LinearWeight> weight_of(const abi::KernelInfo& info) {
  const bool as_stored = info.attribute_int("transB").value_or(0) != 0;
  const auto check = [](const abi::Shape& shape) {
    if (shape.size() != 2) throw abi::OperatorError("the weight's shape " + abi::to_string(shape) + " is not that of a matrix");
    refuse_empty(shape);
  };
  const auto make = [as_stored](const decode::Payload& payload) {
    const decode::Rows rows = read_rows(payload, as_stored ? decode::Orientation::AS_STORED : decode::Orientation::TRANSPOSED);
    return std::make_shared<const LinearWeight>(shape_of(payload), matrix_of(rows, payload.centroids));
  };
  return {info, 1, as_stored ? "rows" : "columns", check, make};
}

void check_inner(const abi::Tensor& x, std::int64_t inner, const kernels::Matmul& matmul) {
  if (static_cast<std::size_t>(inner) == matmul.columns()) return;
  throw abi::OperatorError("X has shape " + abi::to_string(x.shape) + ", which has " + std::to_string(inner) +
                           " columns where the weight wants " + std::to_string(matmul.columns()));
}

// B's strides over [m, n]: it has at most two axes, each of the output's size or of one.
void broadcast_bias(const abi::Tensor& bias, std::int64_t m, std::int64_t n, kernels::Epilogue& epilogue) {
  const std::size_t rank = bias.shape.size();
  const std::int64_t rows = rank == 2 ? bias.shape[0] : 1;
  const std::int64_t columns = rank == 0 ? 1 : bias.shape[rank - 1];
  if (rank > 2 || (rows != 1 && rows != m) || (columns != 1 && columns != n)) {
    throw abi::OperatorError("B has shape " + abi::to_string(bias.shape) + ", which does not broadcast to " +
                             abi::to_string({m, n}));
  }
  epilogue.bias = bias.floats();
  epilogue.bias_row_stride = rows == 1 ? 0 : static_cast<std::size_t>(columns);
  epilogue.bias_column_stride = columns == 1 ? 0 : 1;
}

}  // namespace

LinearWeight::LinearWeight(abi::Shape shape, const kernels::SparseMatrix& matrix)
    : DecodedWeight(std::move(shape)), matmul_(kernels::chosen_variant(), matrix) {}

Gemm::Gemm(const abi::KernelInfo& info)
    : alpha_(info.attribute_float("alpha").value_or(1.0f)),
      beta_(info.attribute_float("beta").value_or(1.0f)),
      transposed_x_(info.attribute_int("transA").value_or(0) != 0),
      activation_(read_activation(info)),
      weight_(weight_of(info)),
      scratch_(shared_scratch()) {}

void Gemm::compute(const abi::KernelContext& context) const {
  const auto form = weight_.get(context);
  const kernels::Matmul& matmul = form->matmul();
  const abi::Tensor x = context.input(0);
  if (x.shape.size() != 2) throw abi::OperatorError("X has shape " + abi::to_string(x.shape) + "; Gemm takes a matrix");
  const std::int64_t m = x.shape[transposed_x_ ? 1 : 0];
  check_inner(x, x.shape[transposed_x_ ? 0 : 1], matmul);

  const auto rows = static_cast<std::size_t>(m);
  const kernels::Activations activations =
      transposed_x_ ? kernels::Activations{x.floats(), rows, 1, rows}
                    : kernels::Activations{x.floats(), rows, matmul.columns(), 1};
  const auto n = static_cast<std::int64_t>(matmul.rows());
  kernels::Epilogue epilogue;
  epilogue.alpha = alpha_;
  epilogue.beta = beta_;
  epilogue.activation = activation_;
  const auto bias = context.optional_input(2);
  if (bias) broadcast_bias(*bias, m, n, epilogue);
  matmul.run(activations, epilogue, SessionThreads(context), *scratch_, context.output(0, {m, n}));
}

MatMul::MatMul(const abi::KernelInfo& info)
    : activation_(read_activation(info)), weight_(weight_of(info)), scratch_(shared_scratch()) {}

void MatMul::compute(const abi::KernelContext& context) const {
  const auto form = weight_.get(context);
  const kernels::Matmul& matmul = form->matmul();
  const abi::Tensor x = context.input(0);
  if (x.shape.empty()) throw abi::OperatorError("X is a scalar; MatMul takes a vector, a matrix or a stack of matrices");
  check_inner(x, x.shape.back(), matmul);

  abi::Shape shape = x.shape;  // a vector's result is a vector, as in NumPy
  shape.back() = static_cast<std::int64_t>(matmul.rows());
  kernels::Epilogue epilogue;
  epilogue.activation = activation_;
  const auto bias = context.optional_input(2);
  if (bias) {
    if (bias->shape != abi::Shape{shape.back()}) {
      throw abi::OperatorError("B has shape " + abi::to_string(bias->shape) + ", which must be " +
                               abi::to_string({shape.back()}));
    }
    epilogue.bias = bias->floats();
    epilogue.bias_column_stride = 1;
  }
  matmul.run({x.floats(), x.elements() / matmul.columns(), matmul.columns(), 1}, epilogue, SessionThreads(context), *scratch_,
             context.output(0, shape));
}

}  // namespace sparsebook::op
