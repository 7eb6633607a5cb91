// Layers that are computed step by step: LSTM and GRU, with sparse weights.
//
// What the input contributes is one product over all steps. A step is then a product with the state before it, and its gates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

/// One direction over a batch of sequences. `y`, `h` and `c` hold nothing yet and do not overlap.
struct Sequences {
  std::size_t steps;
  std::size_t batch;
  std::size_t hidden;
  const float* x;               ///< [steps, batch, columns of the input's weight]
  const std::int32_t* lengths;  ///< of every sequence, 0 to `steps`; null: all are `steps` long
  bool backward;                ///< every sequence from its last step to its first
  const float* bias;            ///< what is added to the input's product, then to the state's, gates x hidden each; null: zeros
  const float* first_h;         ///< [batch, hidden], the state before the first step; null: zeros
  const float* first_c;         ///< likewise, of LSTM
  float* y;                     ///< the state behind step t of sequence b at y + t * y_step + b * hidden, zeros behind its end; may be null
  std::size_t y_step;
  float* h;                     ///< [batch, hidden], the state behind the last step; zeros for a sequence of length 0
  float* c;                     ///< likewise, of LSTM
};

/// ONNX's LSTM without peepholes, gates in the order i, o, f, c: `input` has 4 hidden rows, `recurrent` 4 hidden x hidden.
/// Sums are taken in float32, in an order that depends on shapes alone.
void run_lstm(const Variant& variant, const Matmul& input, const Matmul& recurrent, const Sequences& sequences,
              const Parallel& parallel, Scratch& scratch);

/// The state's weight of a GRU: the rows of the gates z and r, and those of the candidate, which meet a state of their own.
struct GruRecurrent {
  const Matmul& gates;
  const Matmul& candidate;
};

/// ONNX's GRU, gates in the order z, r, h. `reset_behind` is `linear_before_reset`: r multiplies the candidate's product with the
/// state, else the state before it.
void run_gru(const Variant& variant, const Matmul& input, const GruRecurrent& recurrent, bool reset_behind,
             const Sequences& sequences, const Parallel& parallel, Scratch& scratch);

}  // namespace sparsebook::kernels
