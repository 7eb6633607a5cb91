#include "op/recurrent_op.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "kernels/variants.h"
#include "op/matrix_form.h"
#include "op/session_threads.h"

namespace sparsebook::op {
namespace {

constexpr std::int64_t MOST_HIDDEN = std::int64_t{1} << 30;  // bounds gates x hidden_size to 32 bits
constexpr std::int64_t LSTM_GATES = 4;
constexpr std::int64_t GRU_GATES = 3;

std::vector<bool> read_direction(const abi::KernelInfo& info) {
  const std::string name = info.attribute_string("direction").value_or("forward");
  if (name == "forward") return {false};
  if (name == "reverse") return {true};
  if (name == "bidirectional") return {false, true};
  throw abi::OperatorError("direction '" + name + "' is not known; known are forward, reverse and bidirectional");
}

std::int64_t read_hidden(const abi::KernelInfo& info) {
  const auto hidden = info.attribute_int("hidden_size");
  if (!hidden) throw abi::OperatorError("the attribute 'hidden_size' is needed");
  if (*hidden < 1 || *hidden > MOST_HIDDEN) throw abi::OperatorError("hidden_size is " + std::to_string(*hidden));
  return *hidden;
}

// Lists of strings cannot be read over the ABI: of `activations` nothing is known, and the defaults are what is computed.
void refuse_variations(const abi::KernelInfo& info) {
  for (const char* name : {"layout", "input_forget"}) {
    if (const auto value = info.attribute_int(name).value_or(0); value != 0) {
      throw abi::OperatorError(std::string(name) + " is " + std::to_string(value) + ", which must be 0");
    }
  }
  if (info.attribute_float("clip")) throw abi::OperatorError("the attribute 'clip' is not known here");
}

void check_shape(const abi::Tensor& tensor, const abi::Shape& wanted, const char* name) {
  if (tensor.shape == wanted) return;
  throw abi::OperatorError(std::string(name) + " has shape " + abi::to_string(tensor.shape) + ", which must be " + abi::to_string(wanted));
}

const float* values_of(const std::optional<abi::Tensor>& tensor, const abi::Shape& wanted, const char* name) {
  if (!tensor) return nullptr;
  check_shape(*tensor, wanted, name);
  return tensor->floats();
}

const std::int32_t* lengths_of(const std::optional<abi::Tensor>& tensor, std::int64_t batch, std::int64_t steps) {
  if (!tensor) return nullptr;
  check_shape(*tensor, {batch}, "sequence_lens");
  const auto* const lengths = static_cast<const std::int32_t*>(tensor->data);
  for (std::int64_t b = 0; b < batch; ++b) {
    if (lengths[b] >= 0 && lengths[b] <= steps) continue;
    throw abi::OperatorError("sequence_lens has " + std::to_string(lengths[b]) + " where X has " + std::to_string(steps) + " steps");
  }
  return lengths;
}

// Where direction `index` of a tensor begins; null for none.
template <class Value>
Value* part_of(Value* values, std::size_t index, std::size_t size) {
  return values == nullptr ? nullptr : values + index * size;
}

}  // namespace

RecurrentWeight::RecurrentWeight(abi::Shape shape, const kernels::SparseMatrix& matrix, std::size_t cut)
    : DecodedWeight(std::move(shape)) {
  const auto rows = static_cast<std::size_t>(this->shape()[1]);
  const std::size_t first = std::min(cut, rows);
  for (std::size_t begin = 0; begin < matrix.rows; begin += rows) {
    for (const auto& [from, count] : {std::pair(begin, first), std::pair(begin + first, rows - first)}) {
      if (count == 0) continue;
      kernels::SparseMatrix piece = matrix;
      piece.rows = count;
      piece.start = matrix.start + from;
      pieces_.push_back(std::make_unique<const kernels::Matmul>(kernels::chosen_variant(), piece));
    }
  }
}

std::size_t RecurrentWeight::bytes() const {
  std::size_t total = 0;
  for (const auto& piece : pieces_) total += piece->bytes();
  return total;
}

Recurrent::Recurrent(const abi::KernelInfo& info, std::int64_t gates, std::int64_t cut)
    : gates_(gates),
      hidden_(read_hidden(info)),
      backward_(read_direction(info)),
      input_(weight_of(info, 1, 0, gates * hidden_)),
      recurrent_(weight_of(info, 2, hidden_, cut * hidden_)),
      scratch_(shared_scratch()) {
  refuse_variations(info);
}

// `columns` is 0 where any number will do.
Weight<RecurrentWeight> Recurrent::weight_of(const abi::KernelInfo& info, std::size_t input, std::int64_t columns, std::int64_t cut) {
  const auto check = [this, columns](const abi::Shape& shape) {
    const bool fits = shape.size() == 3 && shape[0] == directions() && shape[1] == gates_ * hidden_ &&
                      (columns == 0 || shape[2] == columns);
    if (!fits) {
      throw abi::OperatorError("the weight's shape is " + abi::to_string(shape) + ", where the node wants [" +
                               std::to_string(directions()) + ", " + std::to_string(gates_ * hidden_) + ", " +
                               (columns == 0 ? "the input's size" : std::to_string(columns)) + "]");
    }
    refuse_empty(shape);
  };
  const auto make = [cut](const decode::Payload& payload) {
    const std::uint64_t rows = payload.shape[0] * payload.shape[1];
    const decode::Rows matrix = decode::decode_rows(payload, rows, payload.shape[2], decode::Orientation::AS_STORED);
    return std::make_shared<const RecurrentWeight>(shape_of(payload), matrix_of(matrix, payload.centroids), static_cast<std::size_t>(cut));
  };
  return {info, input, "directions cut after " + std::to_string(cut), check, make};
}

template <class Run>
void Recurrent::each_direction(const abi::KernelContext& context, bool cell, Run&& run) const {
  const auto input = input_.get(context);
  const auto recurrent = recurrent_.get(context);
  const abi::Tensor x = context.input(0);
  if (x.shape.size() != 3 || x.shape[2] != input->shape()[2]) {
    throw abi::OperatorError("X has shape " + abi::to_string(x.shape) + ", which must be [steps, batch, " +
                             std::to_string(input->shape()[2]) + "]");
  }
  const std::int64_t steps = x.shape[0], batch = x.shape[1];
  const abi::Shape state = {directions(), batch, hidden_};
  const std::int64_t biases = 2 * gates_ * hidden_;
  const float* const bias = values_of(context.optional_input(3), {directions(), biases}, "B");
  const std::int32_t* const lengths = lengths_of(context.optional_input(4), batch, steps);
  const float* const first_h = values_of(context.optional_input(5), state, "initial_h");
  const float* const first_c = cell ? values_of(context.optional_input(6), state, "initial_c") : nullptr;
  float* const y = context.output(0, {steps, directions(), batch, hidden_});
  float* h = context.output(1, state);
  float* c = cell ? context.output(2, state) : nullptr;

  const auto size = static_cast<std::size_t>(batch * hidden_);
  const auto own = scratch_->lend(2 * size * sizeof(float));  // in the place of states that nobody wants
  const SessionThreads threads(context);
  for (std::size_t d = 0; d < backward_.size(); ++d) {
    kernels::Sequences sequences;
    sequences.steps = static_cast<std::size_t>(steps);
    sequences.batch = static_cast<std::size_t>(batch);
    sequences.hidden = static_cast<std::size_t>(hidden_);
    sequences.x = x.floats();
    sequences.lengths = lengths;
    sequences.backward = backward_[d];
    sequences.bias = part_of(bias, d, static_cast<std::size_t>(biases));
    sequences.first_h = part_of(first_h, d, size);
    sequences.first_c = part_of(first_c, d, size);
    sequences.y = part_of(y, d, size);
    sequences.y_step = backward_.size() * size;
    sequences.h = h == nullptr ? own.floats() : part_of(h, d, size);
    sequences.c = !cell ? nullptr : c == nullptr ? own.floats() + size : part_of(c, d, size);
    run(d, *input, *recurrent, sequences, threads, *scratch_);
  }
}

Lstm::Lstm(const abi::KernelInfo& info) : Recurrent(info, LSTM_GATES, LSTM_GATES) {}

void Lstm::compute(const abi::KernelContext& context) const {
  each_direction(context, true, [](std::size_t d, const RecurrentWeight& input, const RecurrentWeight& recurrent,
                                   const kernels::Sequences& sequences, const SessionThreads& threads, kernels::Scratch& scratch) {
    kernels::run_lstm(kernels::chosen_variant(), input.piece(d), recurrent.piece(d), sequences, threads, scratch);
  });
}

Gru::Gru(const abi::KernelInfo& info)
    : Recurrent(info, GRU_GATES, GRU_GATES - 1), reset_behind_(info.attribute_int("linear_before_reset").value_or(0) != 0) {}

void Gru::compute(const abi::KernelContext& context) const {
  each_direction(context, false,
                 [this](std::size_t d, const RecurrentWeight& input, const RecurrentWeight& recurrent,
                        const kernels::Sequences& sequences, const SessionThreads& threads, kernels::Scratch& scratch) {
                   const kernels::GruRecurrent pieces = {recurrent.piece(2 * d), recurrent.piece(2 * d + 1)};
                   kernels::run_gru(kernels::chosen_variant(), input.piece(d), pieces, reset_behind_, sequences, threads, scratch);
                 });
}

}  // namespace sparsebook::op
