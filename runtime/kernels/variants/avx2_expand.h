// Rows of a table by AVX2: eight codes a byte of mask, spread by a shuffle to where the mask has its bits.
#pragma once

#include <immintrin.h>

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

// For every mask: byte i names the code of element i, or has bit 7 set, for which a shuffle gives 0.
struct Spread {
  std::uint64_t of[256];
  constexpr Spread() : of() {
    for (unsigned mask = 0; mask < 256; ++mask) {
      unsigned next = 0;
      for (unsigned i = 0; i < 8; ++i) of[mask] |= std::uint64_t{(mask >> i & 1) != 0 ? next++ : 0x80} << (8 * i);
    }
  }
};
constexpr Spread SPREAD;

// Four tables of eight; bits 3 and 4 of the code say which one it was.
struct Look32 {
  __m256 table[4];
  explicit Look32(const float* codebook) {
    for (unsigned t = 0; t < 4; ++t) table[t] = _mm256_loadu_ps(codebook + 8 * t);
  }
  __m256 operator()(__m256i code) const {
    const __m256 third = _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)), fourth = _mm256_castsi256_ps(_mm256_slli_epi32(code, 27));
    const __m256 low = _mm256_blendv_ps(_mm256_permutevar8x32_ps(table[0], code), _mm256_permutevar8x32_ps(table[1], code), third);
    const __m256 high = _mm256_blendv_ps(_mm256_permutevar8x32_ps(table[2], code), _mm256_permutevar8x32_ps(table[3], code), third);
    return _mm256_blendv_ps(low, high, fourth);
  }
};

struct Look256 {
  const float* codebook;
  explicit Look256(const float* values) : codebook(values) {}
  __m256 operator()(__m256i code) const { return _mm256_i32gather_ps(codebook, code, 4); }
};

/// kernels/variant.h, ExpandKernel.
template <class Look>
void expand_eights(const PackedRow& row, float* y) {
  const Look look(row.codebook);
  const std::uint8_t* mask = row.mask;
  const std::uint8_t* code = row.codes;
  const auto next = [&] {
    const __m128i spread = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(&SPREAD.of[*mask]));
    const __m128i codes = _mm_shuffle_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(code)), spread);
    code += __builtin_popcount(*mask++);
    return look(_mm256_cvtepu8_epi32(codes));
  };
  std::size_t i = 0;
  for (; i + 8 <= row.width; i += 8) _mm256_storeu_ps(y + i, next());
  if (i == row.width) return;
  float last[8];
  _mm256_storeu_ps(last, next());
  __builtin_memcpy(y + i, last, (row.width - i) * sizeof(float));
}

}  // namespace
}  // namespace sparsebook::kernels
