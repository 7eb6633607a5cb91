#include "kernels/recurrent.h"

#include <algorithm>

#include "kernels/cost.h"

namespace sparsebook::kernels {
namespace {

constexpr double ELEMENT_COST = 4;  // of one gate's element, in the unit of cost.h

// Zeros where `values` is null.
void start_at(const float* values, std::size_t size, float* to) {
  if (values == nullptr) {
    std::fill_n(to, size, 0.0f);
  } else {
    std::copy_n(values, size, to);
  }
}

// The walk over the sequences, in which all take their s-th step at once.
class Walk {
 public:
  Walk(const Sequences& sequences, std::size_t gates, const Parallel& parallel)
      : sequences_(sequences),
        parallel_(parallel),
        parts_(parts_of(ELEMENT_COST * static_cast<double>(gates * sequences.hidden * sequences.batch),
                        std::max<std::size_t>(1, sequences.batch))) {}

  [[nodiscard]] std::size_t longest() const {
    if (sequences_.lengths == nullptr) return sequences_.batch == 0 ? 0 : sequences_.steps;
    std::size_t longest = 0;
    for (std::size_t b = 0; b < sequences_.batch; ++b) longest = std::max(longest, length(b));
    return longest;
  }

  /// Calls take(b, t) for every sequence b that has an s-th step, which lies at t.
  template <class Take>
  void each(std::size_t s, Take&& take) const {
    parallel_.run(parts_, [&](std::size_t part) {
      const std::size_t end = sequences_.batch * (part + 1) / parts_;
      for (std::size_t b = sequences_.batch * part / parts_; b < end; ++b) {
        if (s < length(b)) take(b, sequences_.backward ? length(b) - 1 - s : s);
      }
    });
  }

  /// Writes the state of sequence b behind step t.
  void write(std::size_t b, std::size_t t, const float* state) const {
    if (sequences_.y != nullptr) std::copy_n(state, sequences_.hidden, at(b, t));
  }

  /// Zeros where sequences have ended, and for the states of those that never began.
  void finish() const {
    for (std::size_t b = 0; b < sequences_.batch; ++b) {
      for (std::size_t t = length(b); sequences_.y != nullptr && t < sequences_.steps; ++t) {
        std::fill_n(at(b, t), sequences_.hidden, 0.0f);
      }
      if (length(b) != 0) continue;
      for (float* state : {sequences_.h, sequences_.c}) {
        if (state != nullptr) std::fill_n(state + b * sequences_.hidden, sequences_.hidden, 0.0f);
      }
    }
  }

 private:
  [[nodiscard]] std::size_t length(std::size_t b) const {
    return sequences_.lengths == nullptr ? sequences_.steps : static_cast<std::size_t>(sequences_.lengths[b]);
  }
  [[nodiscard]] float* at(std::size_t b, std::size_t t) const {
    return sequences_.y + t * sequences_.y_step + b * sequences_.hidden;
  }

  const Sequences& sequences_;
  const Parallel& parallel_;
  std::size_t parts_;
};

// The input's products of all steps, with its own bias and the first `shared` of the state's.
void project(const Matmul& input, const Sequences& sequences, std::size_t shared, const Parallel& parallel, Scratch& scratch,
             float* projected) {
  const std::size_t gates = input.rows();
  const auto bias = scratch.lend(gates * sizeof(float));
  Epilogue epilogue;
  if (sequences.bias != nullptr) {
    std::copy_n(sequences.bias, gates, bias.floats());
    for (std::size_t i = 0; i < shared; ++i) bias.floats()[i] += sequences.bias[gates + i];
    epilogue.bias = bias.floats();
    epilogue.bias_column_stride = 1;
  }
  input.run({sequences.x, sequences.steps * sequences.batch, input.columns(), 1}, epilogue, parallel, scratch, projected);
}

}  // namespace

void run_lstm(const Variant& variant, const Matmul& input, const Matmul& recurrent, const Sequences& sequences,
              const Parallel& parallel, Scratch& scratch) {
  const std::size_t hidden = sequences.hidden, batch = sequences.batch, gates = 4 * hidden;
  const Walk walk(sequences, 5, parallel);
  const auto projected = scratch.lend(sequences.steps * batch * gates * sizeof(float));
  project(input, sequences, gates, parallel, scratch, projected.floats());
  const auto sums = scratch.lend(batch * gates * sizeof(float));
  start_at(sequences.first_h, batch * hidden, sequences.h);
  start_at(sequences.first_c, batch * hidden, sequences.c);
  const std::size_t longest = walk.longest();
  for (std::size_t s = 0; s < longest; ++s) {
    recurrent.run({sequences.h, batch, hidden, 1}, {}, parallel, scratch, sums.floats());
    walk.each(s, [&](std::size_t b, std::size_t t) {
      const float* x = projected.floats() + (t * batch + b) * gates;
      float* const i = sums.floats() + b * gates;
      float* const o = i + hidden;
      float* const f = o + hidden;
      float* const g = f + hidden;
      float* const h = sequences.h + b * hidden;
      float* const c = sequences.c + b * hidden;
      variant.gates.sigmoid(x, i, 3 * hidden, i);
      variant.gates.tanh(x + 3 * hidden, g, hidden, g);
      for (std::size_t k = 0; k < hidden; ++k) c[k] = f[k] * c[k] + i[k] * g[k];
      variant.gates.tanh(c, nullptr, hidden, g);
      for (std::size_t k = 0; k < hidden; ++k) h[k] = o[k] * g[k];
      walk.write(b, t, h);
    });
  }
  walk.finish();
}

void run_gru(const Variant& variant, const Matmul& input, const GruRecurrent& recurrent, bool reset_behind,
             const Sequences& sequences, const Parallel& parallel, Scratch& scratch) {
  const std::size_t hidden = sequences.hidden, batch = sequences.batch, gates = 3 * hidden;
  const Walk walk(sequences, 3, parallel);
  const auto projected = scratch.lend(sequences.steps * batch * gates * sizeof(float));
  project(input, sequences, reset_behind ? 2 * hidden : gates, parallel, scratch, projected.floats());
  const auto sums = scratch.lend(batch * 2 * hidden * sizeof(float));
  const auto candidates = scratch.lend(batch * hidden * sizeof(float));
  const auto resets = scratch.lend(batch * hidden * sizeof(float));
  start_at(sequences.first_h, batch * hidden, sequences.h);
  start_at(nullptr, batch * hidden, resets.floats());  // also of sequences that take no step
  Epilogue behind;
  if (reset_behind && sequences.bias != nullptr) {
    behind.bias = sequences.bias + gates + 2 * hidden;
    behind.bias_column_stride = 1;
  }
  const std::size_t longest = walk.longest();
  for (std::size_t s = 0; s < longest; ++s) {
    recurrent.gates.run({sequences.h, batch, hidden, 1}, {}, parallel, scratch, sums.floats());
    walk.each(s, [&](std::size_t b, std::size_t t) {
      float* const z = sums.floats() + b * 2 * hidden;
      const float* const r = z + hidden;
      const float* const h = sequences.h + b * hidden;
      float* const reset = resets.floats() + b * hidden;
      variant.gates.sigmoid(projected.floats() + (t * batch + b) * gates, z, 2 * hidden, z);
      for (std::size_t k = 0; !reset_behind && k < hidden; ++k) reset[k] = r[k] * h[k];
    });
    recurrent.candidate.run({reset_behind ? sequences.h : resets.floats(), batch, hidden, 1}, behind, parallel, scratch,
                            candidates.floats());
    walk.each(s, [&](std::size_t b, std::size_t t) {
      const float* const z = sums.floats() + b * 2 * hidden;
      const float* const r = z + hidden;
      float* const h = sequences.h + b * hidden;
      float* const g = candidates.floats() + b * hidden;
      for (std::size_t k = 0; reset_behind && k < hidden; ++k) g[k] *= r[k];
      variant.gates.tanh(projected.floats() + (t * batch + b) * gates + 2 * hidden, g, hidden, g);
      for (std::size_t k = 0; k < hidden; ++k) h[k] = (1 - z[k]) * g[k] + z[k] * h[k];
      walk.write(b, t, h);
    });
  }
  walk.finish();
}

}  // namespace sparsebook::kernels
