// Transposing activations: a batch's rows become the lanes that a block kernel multiplies.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// Four floats in one register of any x86-64 or AArch64 machine.
using Float4 = float __attribute__((vector_size(16)));

inline Float4 load4(const float* from) {
  Float4 value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

inline void store4(float* to, Float4 value) { __builtin_memcpy(to, &value, sizeof value); }

/// to[c * to_stride + r] = from[r * from_stride + c] for r in [0, 4), c in [0, 4).
inline void transpose_square(const float* from, std::size_t from_stride, float* to, std::size_t to_stride) {
  const Float4 a = load4(from), b = load4(from + from_stride);
  const Float4 c = load4(from + 2 * from_stride), d = load4(from + 3 * from_stride);
  const Float4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Float4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store4(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store4(to + to_stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store4(to + 2 * to_stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store4(to + 3 * to_stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

/// kernels/variant.h, TransposeKernel.
inline void transpose(const float* from, std::size_t from_stride, std::size_t rows, std::size_t columns, float* to,
                      std::size_t to_stride) {
  // A cache line of every row at a time: rows of a power of two fall on one another in the cache, and would be read four times.
  constexpr std::size_t LINE = 16;
  const std::size_t whole_rows = rows / 4 * 4;
  for (std::size_t first = 0; first < columns; first += LINE) {
    const std::size_t last = first + LINE < columns ? first + LINE : columns;
    for (std::size_t r = 0; r < whole_rows; r += 4) {
      std::size_t c = first;
      for (; c + 4 <= last; c += 4) transpose_square(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
      for (; c < last; ++c) {
        for (std::size_t i = r; i < r + 4; ++i) to[c * to_stride + i] = from[i * from_stride + c];
      }
    }
    for (std::size_t r = whole_rows; r < rows; ++r) {
      for (std::size_t c = first; c < last; ++c) to[c * to_stride + r] = from[r * from_stride + c];
    }
  }
}

}  // namespace
}  // namespace sparsebook::kernels
