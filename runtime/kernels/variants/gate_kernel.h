// Sigmoid and hyperbolic tangent of many sums, in the vectors that the compiler has for the variant. Products and sums stay separate
// (-ffp-contract=off), so that every variant gives the same bits.
//
// Against double precision, over all floats (tests/native/test_recurrent.cc): sigmoid within 2.5 units in the last place, and within
// 1.7e-38 where it is smaller than that; tanh within 1.5.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

template <unsigned LANES>
struct Gate {
  // GCC 12 forgets the attribute of a `using` that depends on LANES.
  typedef float Floats __attribute__((vector_size(4 * LANES)));
  typedef std::uint32_t Ints __attribute__((vector_size(4 * LANES)));

  static Floats load(const float* from) {
    Floats value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
  }

  // 2^n times a polynomial of the rest, as in Cephes' expf (1.2 units in the last place). NaN stays what it is, larger arguments are
  // cut: their exponentials are no longer normal, or infinite.
  static Floats exp(Floats x) {
    constexpr float LIMIT = 87, LOG2_E = 1.44269504f;
    constexpr float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;  // n * LN2_HIGH is exact: 9 bits and 7
    constexpr float TO_INTEGER = 12582912;  // 1.5 * 2^23: adding it rounds, and leaves n in the low bits
    x = x < -LIMIT ? Floats{} - LIMIT : x;
    x = x > LIMIT ? Floats{} + LIMIT : x;
    const Floats shifted = x * LOG2_E + TO_INTEGER;
    const Floats n = shifted - TO_INTEGER;
    const Floats r = x - n * LN2_HIGH - n * LN2_LOW;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const Ints power = (reinterpret_cast<Ints>(shifted) << 23) + 0x3F800000u;  // unsigned: n may be negative
    return (p * (r * r) + r + 1.0f) * reinterpret_cast<Floats>(power);
  }

  static Floats sigmoid(Floats x) { return 1.0f / (1.0f + exp(-x)); }

  // By the exponential, or by Cephes' polynomial where the difference from 1 would cancel.
  static Floats tanh(Floats x) {
    const Ints sign = reinterpret_cast<Ints>(x) & 0x80000000u;
    const Floats size = reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) ^ sign);
    const Floats large = 1.0f - 2.0f / (exp(size + size) + 1.0f);
    const Floats z = size * size;
    Floats p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const Floats small = p * z * size + size;
    const Floats value = size < 0.625f ? small : large;
    return reinterpret_cast<Floats>(reinterpret_cast<Ints>(value) | sign);
  }
};

/// kernels/variant.h, GateKernel.
template <unsigned LANES, bool TANH>
void gate(const float* a, const float* b, std::size_t count, float* y) {
  using Lanes = Gate<LANES>;
  const auto take = [](const float* first, const float* second, float* to) {
    typename Lanes::Floats sum = Lanes::load(first);
    if (second != nullptr) sum += Lanes::load(second);
    sum = TANH ? Lanes::tanh(sum) : Lanes::sigmoid(sum);
    __builtin_memcpy(to, &sum, sizeof sum);
  };
  std::size_t i = 0;
  for (; i + LANES <= count; i += LANES) take(a + i, b == nullptr ? nullptr : b + i, y + i);
  if (i == count) return;
  const std::size_t rest = (count - i) * sizeof(float);
  float first[LANES] = {}, second[LANES] = {}, to[LANES];
  __builtin_memcpy(first, a + i, rest);
  if (b != nullptr) __builtin_memcpy(second, b + i, rest);
  take(first, second, to);
  __builtin_memcpy(y + i, to, rest);
}

template <unsigned LANES>
constexpr GateKernels gate_kernels() {
  return {gate<LANES, false>, gate<LANES, true>};
}

}  // namespace
}  // namespace sparsebook::kernels
