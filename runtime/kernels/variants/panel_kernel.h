// The inner loop of weights that have few zeros: eight rows' codes side by side, each looked up and broadcast over a tile.
#pragma once

#include "kernels/variants/block_kernel.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// A tile of VECTORS vectors by AT_ONCE rows, whose sums stay in registers for all columns: a vector of activations is loaded once for
/// AT_ONCE multiply-adds, and a value for VECTORS of them, so that multiplying and not loading is what takes the time.
template <class Simd, unsigned VECTORS, unsigned AT_ONCE, bool SIDE_BY_SIDE>
void panel_rows(const std::uint8_t* codes, std::size_t columns, const float* codebook, const PanelInput& input, bool fresh, float* y) {
  constexpr unsigned WIDTH = VECTORS * Simd::LANES;
  static_assert(PANEL_ROWS % AT_ONCE == 0);
  for (unsigned first = 0; first < PANEL_ROWS; first += AT_ONCE, y += AT_ONCE * WIDTH) {
    typename Simd::Vector sum[AT_ONCE][VECTORS];
    for (unsigned r = 0; r < AT_ONCE; ++r) {
      for (unsigned v = 0; v < VECTORS; ++v) sum[r][v] = fresh ? Simd::zero() : Simd::load(y + r * WIDTH + v * Simd::LANES);
    }
    const std::uint8_t* code = codes + first;
    for (std::size_t column = 0; column < columns; ++column, code += PANEL_ROWS) {
      const float* const from = input.x + (SIDE_BY_SIDE ? static_cast<std::ptrdiff_t>(column * WIDTH) : input.at[column]);
      std::uint64_t eight = 0;
      __builtin_memcpy(&eight, code, AT_ONCE);
      typename Simd::Vector activations[VECTORS];
      for (unsigned v = 0; v < VECTORS; ++v) activations[v] = Simd::load(from + v * Simd::LANES);
      for (unsigned r = 0; r < AT_ONCE; ++r) {
        const typename Simd::Vector value = Simd::broadcast(codebook + (eight >> (8 * r) & 0xFF));
        for (unsigned v = 0; v < VECTORS; ++v) sum[r][v] = Simd::multiply_add(value, activations[v], sum[r][v]);
      }
    }
    for (unsigned r = 0; r < AT_ONCE; ++r) {
      for (unsigned v = 0; v < VECTORS; ++v) Simd::store(y + r * WIDTH + v * Simd::LANES, sum[r][v]);
    }
  }
}

template <class Simd, unsigned VECTORS, unsigned AT_ONCE>
void panel_tile(const std::uint8_t* codes, std::size_t columns, const float* codebook, const PanelInput& input, bool fresh, float* y) {
  if (input.at == nullptr) {
    panel_rows<Simd, VECTORS, AT_ONCE, true>(codes, columns, codebook, input, fresh, y);
  } else {
    panel_rows<Simd, VECTORS, AT_ONCE, false>(codes, columns, codebook, input, fresh, y);
  }
}

/// The row of a tile.
template <class Simd, unsigned VECTORS, unsigned AT_ONCE>
constexpr PanelRow panel_row(float cost) {
  return {VECTORS * Simd::LANES, cost, panel_tile<Simd, VECTORS, AT_ONCE>};
}

}  // namespace
}  // namespace sparsebook::kernels
