// The inner loop of every kernel: one sparse row times WIDTH neighbouring columns of activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/sparse_matrix.h"

namespace sparsebook::kernels {

/// The widest tile: eight vectors of four floats, which leaves half of the sixteen registers of baseline x86-64 for the
/// broadcast value and the loads. Eight is also the latency (4) times the rate (2 a cycle) of a vector addition, so that
/// additions into different registers hide each other's latency.
inline constexpr unsigned MAX_TILE = 32;

/// Four floats in one register of any x86-64 or AArch64 machine.
using Float4 = float __attribute__((vector_size(16)));

inline Float4 load4(const float* from) {
  Float4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store4(float* to, Float4 value) { std::memcpy(to, &value, sizeof value); }

/// out[i] = sum over the row's non-zeros of value * source[offset(column) + i], i in [0, WIDTH).
/// Reads [offset(column), offset(column) + WIDTH) of `source` for the columns that occur, and nothing else of it.
template <unsigned WIDTH, class Offset>
inline void accumulate(const SparseMatrix& weight, std::size_t row, const float* source, const Offset& offset, float* out) {
  static_assert(WIDTH % 4 == 0 && WIDTH <= MAX_TILE);
  constexpr unsigned VECTORS = WIDTH / 4;
  // Narrow tiles keep several partial sums, so that always eight additions are under way.
  constexpr unsigned CHAINS = MAX_TILE / WIDTH;
  Float4 sum[CHAINS][VECTORS] = {};
  const auto add = [&](std::uint64_t at, unsigned chain) {
    const float value = weight.codebook[weight.code[at]];
    const Float4 broadcast = {value, value, value, value};
    const float* from = source + offset(weight.column[at]);
    for (unsigned v = 0; v < VECTORS; ++v) sum[chain][v] += broadcast * load4(from + 4 * v);
  };
  std::uint64_t at = weight.start[row];
  const std::uint64_t end = weight.start[row + 1];
  for (; at + CHAINS <= end; at += CHAINS) {
    for (unsigned chain = 0; chain < CHAINS; ++chain) add(at + chain, chain);
  }
  for (; at < end; ++at) add(at, 0);
  for (unsigned v = 0; v < VECTORS; ++v) {
    Float4 total = sum[0][v];
    for (unsigned chain = 1; chain < CHAINS; ++chain) total += sum[chain][v];
    store4(out + 4 * v, total);
  }
}

/// The same for a single column of activations.
template <class Offset>
inline float accumulate_one(const SparseMatrix& weight, std::size_t row, const float* source, const Offset& offset) {
  constexpr unsigned CHAINS = 8;
  float sum[CHAINS] = {};
  const auto product = [&](std::uint64_t at) {
    return weight.codebook[weight.code[at]] * source[offset(weight.column[at])];
  };
  std::uint64_t at = weight.start[row];
  const std::uint64_t end = weight.start[row + 1];
  for (; at + CHAINS <= end; at += CHAINS) {
    for (unsigned chain = 0; chain < CHAINS; ++chain) sum[chain] += product(at + chain);
  }
  float total = 0;
  for (; at < end; ++at) total += product(at);
  for (const float partial : sum) total += partial;
  return total;
}

}  // namespace sparsebook::kernels
