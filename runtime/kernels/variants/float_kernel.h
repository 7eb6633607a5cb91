// The inner loop of small weights that lie as floats: an activation is broadcast over a strip of rows.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// Sums of VECTORS vectors of rows for ROWS rows of activations stay in registers for all columns; each is taken in the order of columns.
template <class Simd, unsigned VECTORS, unsigned ROWS>
void float_strip(const FloatStrip& of, float* sums) {
  typename Simd::Vector sum[ROWS][VECTORS];
  for (unsigned r = 0; r < ROWS; ++r) {
    for (unsigned v = 0; v < VECTORS; ++v) sum[r][v] = Simd::zero();
  }
  const float* weight = of.weight;
  for (std::size_t column = 0; column < of.columns; ++column, weight += VECTORS * Simd::LANES) {
    typename Simd::Vector values[VECTORS];
    for (unsigned v = 0; v < VECTORS; ++v) values[v] = Simd::load(weight + v * Simd::LANES);
    for (unsigned r = 0; r < ROWS; ++r) {
      const typename Simd::Vector activation = Simd::broadcast(of.x + r * of.row_stride + column * of.column_stride);
      for (unsigned v = 0; v < VECTORS; ++v) sum[r][v] = Simd::multiply_add(activation, values[v], sum[r][v]);
    }
  }
  for (unsigned r = 0; r < ROWS; ++r) {
    for (unsigned v = 0; v < VECTORS; ++v) Simd::store(sums + (r * VECTORS + v) * Simd::LANES, sum[r][v]);
  }
}

/// By ascending width, as FLOAT_WIDTHS. `REGISTERS`: of the instruction set; sums, a column's values and an activation are to fit in.
template <class Simd, unsigned VECTORS, unsigned REGISTERS>
constexpr FloatRow float_row() {
  constexpr bool FOUR_FIT = 4 * VECTORS + VECTORS + 1 <= REGISTERS;
  return {VECTORS, {float_strip<Simd, VECTORS, 1>, float_strip<Simd, VECTORS, 2>, FOUR_FIT ? float_strip<Simd, VECTORS, 4> : nullptr}};
}

template <class Simd, unsigned REGISTERS>
inline constexpr FloatRow FLOAT_ROWS[FLOAT_WIDTH_COUNT] = {float_row<Simd, 1, REGISTERS>(), float_row<Simd, 2, REGISTERS>(),
                                                           float_row<Simd, 4, REGISTERS>()};

}  // namespace
}  // namespace sparsebook::kernels
