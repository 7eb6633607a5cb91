// The inner loop of convolutions with few output channels a group: the activations pass by once for every output channel and value.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// The sums of VECTORS vectors stay in registers for all taps.
template <class Simd, unsigned VECTORS>
void tap_tile(const Taps& taps, const float* x, float* y) {
  typename Simd::Vector sum[VECTORS];
  for (unsigned v = 0; v < VECTORS; ++v) sum[v] = Simd::zero();
  for (std::size_t t = 0; t < taps.count; ++t) {
    const typename Simd::Vector value = Simd::broadcast(taps.values + t);
    const float* const from = x + taps.at[t];
    for (unsigned v = 0; v < VECTORS; ++v) sum[v] = Simd::multiply_add(value, Simd::load(from + v * Simd::LANES), sum[v]);
  }
  for (unsigned v = 0; v < VECTORS; ++v) Simd::store(y + v * Simd::LANES, sum[v]);
}

/// kernels/variant.h, TapKernel.
template <class Simd>
void tap_sums(const Taps& taps, const float* x, std::size_t count, float* y) {
  constexpr std::size_t AT_ONCE = 8;
  std::size_t i = 0;
  for (; i + AT_ONCE * Simd::LANES <= count; i += AT_ONCE * Simd::LANES) tap_tile<Simd, AT_ONCE>(taps, x + i, y + i);
  for (; i + 3 * Simd::LANES <= count; i += 3 * Simd::LANES) tap_tile<Simd, 3>(taps, x + i, y + i);
  for (; i + Simd::LANES <= count; i += Simd::LANES) tap_tile<Simd, 1>(taps, x + i, y + i);
  if (i == count) return;
  const auto mask = static_cast<std::uint16_t>((1u << (count - i)) - 1);
  typename Simd::Vector sum = Simd::zero();
  for (std::size_t t = 0; t < taps.count; ++t) {
    const typename Simd::Vector activations = Simd::load_lanes(Simd::zero(), mask, x + taps.at[t] + i);
    sum = Simd::multiply_add(Simd::broadcast(taps.values + t), activations, sum);
  }
  Simd::store_lanes(y + i, mask, sum);
}

}  // namespace
}  // namespace sparsebook::kernels
