// The inner loop of depthwise convolutions: lanes are channels, and outputs pass by several at once.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// The sums of AT_ONCE outputs stay in registers for all taps. STEP: what is known of `step`, or 0: addresses that are no constants apart take as
/// long as the products.
template <class Simd, unsigned AT_ONCE, std::size_t STEP>
void lane_outputs(const LaneTaps& taps, const float* x, std::size_t any_step, float* y) {
  const std::size_t step = STEP == 0 ? any_step : STEP;
  typename Simd::Vector sum[AT_ONCE];
  for (unsigned o = 0; o < AT_ONCE; ++o) sum[o] = Simd::zero();
  for (std::size_t t = 0; t < taps.count; ++t) {
    const typename Simd::Vector value = Simd::load(taps.values + t * Simd::LANES);
    const float* const from = x + taps.at[t];
    for (unsigned o = 0; o < AT_ONCE; ++o) sum[o] = Simd::multiply_add(value, Simd::load(from + o * step), sum[o]);
  }
  for (unsigned o = 0; o < AT_ONCE; ++o) Simd::store(y + o * Simd::LANES, sum[o]);
}

template <class Simd, std::size_t STEP>
void lane_row(const LaneTaps& taps, const float* x, std::size_t step, std::size_t outputs, float* y) {
  std::size_t o = 0;
  const auto some = [&](auto outputs_of, std::size_t count) {
    for (; o + count <= outputs; o += count) outputs_of(taps, x + o * step, step, y + o * Simd::LANES);
  };
  some(lane_outputs<Simd, 10, STEP>, 10);
  some(lane_outputs<Simd, 4, STEP>, 4);
  some(lane_outputs<Simd, 1, STEP>, 1);
}

/// kernels/variant.h, LaneKernel.
template <class Simd>
void lane_taps(const LaneTaps& taps, const float* x, std::size_t step, std::size_t outputs, float* y) {
  if (step == Simd::LANES) return lane_row<Simd, Simd::LANES>(taps, x, step, outputs, y);
  if (step == 2 * Simd::LANES) return lane_row<Simd, 2 * Simd::LANES>(taps, x, step, outputs, y);
  lane_row<Simd, 0>(taps, x, step, outputs, y);
}

}  // namespace
}  // namespace sparsebook::kernels
