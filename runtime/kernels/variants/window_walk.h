// How a window kernel goes over its strips: several of them side by side, each from a stretch of its own.
//
// Weights of some MB come from memory, and a core's prefetchers follow every page of 4 KB by itself: from one page at a time they brought 10 GB/s,
// from four pages 12 to 14 (Sapphire Rapids, docs/adr/0018). It also hides latencies behind each other where the weights are near.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

#define SPARSEBOOK_INLINE [[gnu::always_inline]] inline

constexpr std::size_t WINDOW_AHEAD = 6144;  // bytes that prefetches run ahead, in all stretches together; flat from 3 K to 12 K
constexpr std::size_t LINE = 64;

/// Where a walk over one strip is.
struct Strand {
  const std::uint8_t* group;
  const std::uint16_t* step;
  const std::uint8_t* base;
  std::size_t left;
};

/// The first group of a strip.
template <class Lookup>
Strand strand_of(const WindowStrips& strips, std::size_t strip, const std::uint8_t* prepared) {
  const std::uint64_t* const end = strips.ends + strip;
  const std::uint64_t first = end[-1] - strips.ends[-1];
  return {strips.groups + first * Lookup::BYTES, strips.steps + first, prepared, static_cast<std::size_t>(end[0] - end[-1])};
}

/// Adds a strand's next group and goes on.
template <class Lookup, std::size_t AHEAD>
SPARSEBOOK_INLINE void add_group(const Lookup& look, Strand& strand, typename Lookup::Sums& sums) {
  constexpr std::size_t LINES = (Lookup::BYTES + LINE - 1) / LINE;
  for (std::size_t i = 0; i < LINES; ++i) __builtin_prefetch(strand.group + AHEAD + i * Lookup::BYTES / LINES);
  strand.base += std::size_t{*strand.step} * Lookup::STEP_BYTES;
  look.add(strand.group, strand.base, sums);
  strand.group += Lookup::BYTES;
  ++strand.step;
}

/// The sums of all strips (variant.h, WindowKernel), STRANDS at a time. A strip's sums do not depend on those beside it.
///
/// Lookup::BYTES are a group's, Lookup::STEP_BYTES those of `prepared` that a step of one skips, Lookup::FLOATS a strip's sums; `add` adds
/// a group's products, `store` writes a strip's sums.
template <std::size_t STRANDS, class Lookup>
void walk_windows(const Lookup& look, const WindowStrips& strips, const std::uint8_t* prepared, float* sums) {
  using Sums = typename Lookup::Sums;
  const std::size_t stretch = strips.strips / STRANDS;
  for (std::size_t s = 0; s < stretch; ++s) {
    Strand strand[STRANDS];
    Sums sum[STRANDS];
    std::size_t together = ~std::size_t{0};
    for (std::size_t t = 0; t < STRANDS; ++t) {
      strand[t] = strand_of<Lookup>(strips, t * stretch + s, prepared);
      if (strand[t].left < together) together = strand[t].left;
    }
    for (std::size_t i = 0; i < together; ++i) {
#pragma GCC unroll 4
      for (std::size_t t = 0; t < STRANDS; ++t) add_group<Lookup, WINDOW_AHEAD / STRANDS>(look, strand[t], sum[t]);
    }
    for (std::size_t t = 0; t < STRANDS; ++t) {
      for (std::size_t i = together; i < strand[t].left; ++i) add_group<Lookup, WINDOW_AHEAD / STRANDS>(look, strand[t], sum[t]);
      Lookup::store(sum[t], sums + (t * stretch + s) * Lookup::FLOATS);
    }
  }
  for (std::size_t s = STRANDS * stretch; s < strips.strips; ++s) {
    Strand strand = strand_of<Lookup>(strips, s, prepared);
    Sums sum;
    for (std::size_t i = 0; i < strand.left; ++i) add_group<Lookup, WINDOW_AHEAD / STRANDS>(look, strand, sum);
    Lookup::store(sum, sums + s * Lookup::FLOATS);
  }
}

}  // namespace
}  // namespace sparsebook::kernels
