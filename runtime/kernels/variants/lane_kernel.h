// The inner loop of depthwise convolutions: lanes are channels, and outputs pass by several at once.
#pragma once

#include "kernels/variant.h"
#include "kernels/variants/window_walk.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// Adds the products of RUN neighbouring taps to those of AT_ONCE neighbouring outputs: an activation is loaded once for all of them.
template <class Simd, unsigned RUN, unsigned AT_ONCE>
SPARSEBOOK_INLINE void lane_run(const float* values, const float* from, typename Simd::Vector (&sum)[AT_ONCE]) {
  typename Simd::Vector activation[AT_ONCE + RUN - 1];
  for (unsigned i = 0; i < AT_ONCE + RUN - 1; ++i) activation[i] = Simd::load(from + i * Simd::LANES);
  for (unsigned t = 0; t < RUN; ++t) {
    const typename Simd::Vector value = Simd::load(values + t * Simd::LANES);
    for (unsigned o = 0; o < AT_ONCE; ++o) sum[o] = Simd::multiply_add(value, activation[o + t], sum[o]);
  }
}

/// The sums of AT_ONCE outputs stay in registers for all taps. STEP: what is known of `step`, or 0: addresses that are no constants apart take as
/// long as the products. RUNS: whether the registers hold a run's activations as well.
template <class Simd, unsigned AT_ONCE, std::size_t STEP, bool RUNS>
void lane_outputs(const LaneTaps& taps, const float* x, std::size_t any_step, float* y) {
  const std::size_t step = STEP == 0 ? any_step : STEP;
  typename Simd::Vector sum[AT_ONCE];
  for (unsigned o = 0; o < AT_ONCE; ++o) sum[o] = Simd::zero();
  const auto runs = [&](std::size_t t, std::size_t count) {
    return t + count <= taps.count && taps.at[t + count - 1] - taps.at[t] == static_cast<std::ptrdiff_t>((count - 1) * Simd::LANES);
  };
  for (std::size_t t = 0; t < taps.count;) {
    const float* const values = taps.values + t * Simd::LANES;
    const float* const from = x + taps.at[t];
    if constexpr (RUNS && STEP == Simd::LANES) {
      if (runs(t, 5)) {
        lane_run<Simd, 5>(values, from, sum);
        t += 5;
        continue;
      }
      if (runs(t, 3)) {
        lane_run<Simd, 3>(values, from, sum);
        t += 3;
        continue;
      }
    }
    const typename Simd::Vector value = Simd::load(values);
    for (unsigned o = 0; o < AT_ONCE; ++o) sum[o] = Simd::multiply_add(value, Simd::load(from + o * step), sum[o]);
    ++t;
  }
  for (unsigned o = 0; o < AT_ONCE; ++o) Simd::store(y + o * Simd::LANES, sum[o]);
}

template <class Simd, std::size_t STEP, bool RUNS>
void lane_row(const LaneTaps& taps, const float* x, std::size_t step, std::size_t outputs, float* y) {
  std::size_t o = 0;
  const auto some = [&](auto outputs_of, std::size_t count) {
    for (; o + count <= outputs; o += count) outputs_of(taps, x + o * step, step, y + o * Simd::LANES);
  };
  some(lane_outputs<Simd, 10, STEP, RUNS>, 10);
  some(lane_outputs<Simd, 4, STEP, RUNS>, 4);
  some(lane_outputs<Simd, 1, STEP, RUNS>, 1);
}

/// kernels/variant.h, LaneKernel. RUNS: with thirty-two registers.
template <class Simd, bool RUNS>
void lane_taps(const LaneTaps& taps, const float* x, std::size_t step, std::size_t outputs, float* y) {
  if (step == Simd::LANES) return lane_row<Simd, Simd::LANES, RUNS>(taps, x, step, outputs, y);
  if (step == 2 * Simd::LANES) return lane_row<Simd, 2 * Simd::LANES, RUNS>(taps, x, step, outputs, y);
  lane_row<Simd, 0, RUNS>(taps, x, step, outputs, y);
}

}  // namespace
}  // namespace sparsebook::kernels
