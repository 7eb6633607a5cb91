// Transposing activations: a batch's rows become the lanes that a block kernel multiplies.
#pragma once

#include <cstddef>
#include <cstring>

namespace sparsebook::kernels {

/// Four floats in one register of any x86-64 or AArch64 machine.
using Float4 = float __attribute__((vector_size(16)));

inline Float4 load4(const float* from) {
  Float4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store4(float* to, Float4 value) { std::memcpy(to, &value, sizeof value); }

/// to[c * to_stride + r] = from[r * from_stride + c] for r in [0, rows), c in [0, columns).
inline void transpose(const float* from, std::size_t from_stride, std::size_t rows, std::size_t columns, float* to,
                      std::size_t to_stride) {
  const std::size_t whole_rows = rows / 4 * 4;
  const std::size_t whole_columns = columns / 4 * 4;
  for (std::size_t c = 0; c < whole_columns; c += 4) {
    for (std::size_t r = 0; r < whole_rows; r += 4) {
      const float* source = from + r * from_stride + c;
      const Float4 a = load4(source), b = load4(source + from_stride);
      const Float4 d = load4(source + 2 * from_stride), e = load4(source + 3 * from_stride);
      const Float4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Float4 de = __builtin_shufflevector(d, e, 0, 4, 1, 5), de2 = __builtin_shufflevector(d, e, 2, 6, 3, 7);
      float* target = to + c * to_stride + r;
      store4(target, __builtin_shufflevector(ab, de, 0, 1, 4, 5));
      store4(target + to_stride, __builtin_shufflevector(ab, de, 2, 3, 6, 7));
      store4(target + 2 * to_stride, __builtin_shufflevector(ab2, de2, 0, 1, 4, 5));
      store4(target + 3 * to_stride, __builtin_shufflevector(ab2, de2, 2, 3, 6, 7));
    }
    for (std::size_t r = whole_rows; r < rows; ++r) {
      for (std::size_t i = 0; i < 4; ++i) to[(c + i) * to_stride + r] = from[r * from_stride + c + i];
    }
  }
  for (std::size_t c = whole_columns; c < columns; ++c) {
    for (std::size_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

}  // namespace sparsebook::kernels
