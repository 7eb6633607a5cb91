// A row of a table from its mask and codes, a non-zero at a time: what the wider ones are compared with.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// kernels/variant.h, ExpandKernel.
inline void expand_elements(const PackedRow& row, float* y) {
  constexpr std::size_t WORD = 64;
  const std::uint8_t* code = row.codes;
  for (std::size_t i = 0; i < row.width; i += WORD) {
    const std::size_t here = row.width - i < WORD ? row.width - i : WORD;
    std::uint64_t mask = 0;  // bit k is element i + k: all machines that ONNX Runtime has are little-endian
    __builtin_memcpy(&mask, row.mask + i / 8, (here + 7) / 8);
    __builtin_memset(y + i, 0, here * sizeof(float));
    for (; mask != 0; mask &= mask - 1) y[i + static_cast<unsigned>(__builtin_ctzll(mask))] = row.codebook[*code++];
  }
}

}  // namespace
}  // namespace sparsebook::kernels
