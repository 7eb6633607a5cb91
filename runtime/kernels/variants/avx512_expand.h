// Rows of a table by AVX-512: sixteen codes, which `vpexpandd` spreads to where the mask has its bits. One `vpexpandb` of VBMI2 does the work
// of four, but the widening, the look-up and the store of each stay: no variant of its own is made for it (docs/adr/0016).
#pragma once

#include "kernels/variants/avx512.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// kernels/variant.h, ExpandKernel.
template <class Codebook>
void expand_sixteens(const PackedRow& row, float* y) {
  const Codebook values(row.codebook);
  const std::uint8_t* code = row.codes;
  const auto next = [&](unsigned mask) {
    const __m512i some = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(code)));
    code += __builtin_popcount(mask);
    return values(reinterpret_cast<Words>(_mm512_maskz_expand_epi32(static_cast<__mmask16>(mask), some)));
  };
  std::size_t i = 0;
  for (; i + 16 <= row.width; i += 16) {
    std::uint16_t mask;
    __builtin_memcpy(&mask, row.mask + i / 8, sizeof mask);
    _mm512_storeu_ps(y + i, next(mask));
  }
  if (i == row.width) return;
  const std::size_t left = row.width - i;
  const unsigned mask = row.mask[i / 8] | (left > 8 ? unsigned{row.mask[i / 8 + 1]} << 8 : 0u);
  _mm512_mask_storeu_ps(y + i, static_cast<__mmask16>((1u << left) - 1), next(mask));
}

constexpr ExpandKernels EXPAND = {expand_sixteens<Codebook32>, expand_sixteens<Codebook256>};

}  // namespace
}  // namespace sparsebook::kernels
