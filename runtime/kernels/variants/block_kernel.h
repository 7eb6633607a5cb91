// The inner loop of batches and convolutions: broadcast a value, multiply a stretch of activations by it, add.
//
// `Simd` is a variant's vector: LANES, Vector, and static zero, load, store, broadcast, add, multiply_add(a, b, c) = a * b + c, and
// copy_tail(from, to, length) for less than LANES floats, which may write a whole vector.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// A tile of VECTORS vectors. CHAINS partial sums of every vector hide the latency of the additions: VECTORS * CHAINS of about
/// latency x rate of the machine's multiply-adds.
template <class Simd, unsigned VECTORS, unsigned CHAINS, unsigned CODE_BITS>
void block_tile(const BlockRows& rows, const float* x, float* y) {
  constexpr unsigned WIDTH = VECTORS * Simd::LANES;
  constexpr unsigned CODE = (1u << CODE_BITS) - 1;
  const std::uint16_t* entry = rows.entries;
  for (std::size_t i = 0; i < rows.rows; ++i) {
    float* const out = y + std::size_t{rows.order[i]} * WIDTH;
    typename Simd::Vector sum[CHAINS][VECTORS];
    for (unsigned v = 0; v < VECTORS; ++v) sum[0][v] = Simd::load(out + v * Simd::LANES);
    for (unsigned chain = 1; chain < CHAINS; ++chain) {
      for (unsigned v = 0; v < VECTORS; ++v) sum[chain][v] = Simd::zero();
    }
    const std::uint16_t* const end = entry + rows.counts[i];
    for (; entry + CHAINS <= end; entry += CHAINS) {
      for (unsigned chain = 0; chain < CHAINS; ++chain) {
        const unsigned bits = entry[chain];
        const typename Simd::Vector value = Simd::broadcast(rows.codebook + (bits & CODE));
        const float* from = x + std::size_t{bits >> CODE_BITS} * WIDTH;
        for (unsigned v = 0; v < VECTORS; ++v) {
          sum[chain][v] = Simd::multiply_add(value, Simd::load(from + v * Simd::LANES), sum[chain][v]);
        }
      }
    }
    for (; entry < end; ++entry) {
      const unsigned bits = *entry;
      const typename Simd::Vector value = Simd::broadcast(rows.codebook + (bits & CODE));
      const float* from = x + std::size_t{bits >> CODE_BITS} * WIDTH;
      for (unsigned v = 0; v < VECTORS; ++v) {
        sum[0][v] = Simd::multiply_add(value, Simd::load(from + v * Simd::LANES), sum[0][v]);
      }
    }
    for (unsigned v = 0; v < VECTORS; ++v) {
      for (unsigned chain = 1; chain < CHAINS; ++chain) sum[0][v] = Simd::add(sum[0][v], sum[chain][v]);
      Simd::store(out + v * Simd::LANES, sum[0][v]);
    }
  }
}

/// The row of a tile.
template <class Simd, unsigned VECTORS, unsigned CHAINS>
constexpr BlockRow block_row(float cost, float row_cost) {
  return {VECTORS * Simd::LANES, cost, row_cost, block_tile<Simd, VECTORS, CHAINS, NARROW_CODE>,
          block_tile<Simd, VECTORS, CHAINS, WIDE_CODE>};
}

/// kernels/variant.h, CopyKernel. What a tail writes too much, the next stretch overwrites.
template <class Simd>
void copy_stretches(const Stretch* stretches, std::size_t count, const float* from, float* to) {
  static_assert(Simd::LANES <= COPY_SLACK);
  for (std::size_t s = 0; s < count; ++s) {
    const Stretch& stretch = stretches[s];
    const float* source = from + stretch.from;
    float* target = to + stretch.to;
    std::size_t i = 0;
    for (; i + Simd::LANES <= stretch.length; i += Simd::LANES) Simd::store(target + i, Simd::load(source + i));
    if (i < stretch.length) Simd::copy_tail(source + i, target + i, static_cast<unsigned>(stretch.length - i));
  }
}

/// One activation a tile, in any variant.
struct One {
  static constexpr unsigned LANES = 1;
  using Vector = float;
  static Vector zero() { return 0; }
  static Vector load(const float* from) { return *from; }
  static void store(float* to, Vector value) { *to = value; }
  static Vector broadcast(const float* value) { return *value; }
  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
};

}  // namespace
}  // namespace sparsebook::kernels
