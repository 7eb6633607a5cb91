// The inner loop of batches and convolutions: broadcast a value, multiply a stretch of activations by it, add.
//
// `Simd` is a variant's vector: LANES, Vector, and static zero, load, store, broadcast, add, multiply, multiply_add(a, b, c) = a * b + c,
// at_least(low, x) and at_most(high, x), which give x where it is NaN, and load_lanes(into, mask, from) and
// store_lanes(to, mask, value), which read and write some lanes and touch no others.
#pragma once

#include "kernels/variant.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

/// A tile of VECTORS vectors. CHAINS partial sums of every vector, 1 or 2, hide the latency of the additions: VECTORS * CHAINS of about
/// latency x rate of the machine's multiply-adds, as far as a row has entries for them.
///
/// Entries come in pairs, and rows by their number of pairs, so that the loop's end is seldom mispredicted: a row of a block has a dozen
/// entries, and a wrong guess costs as much as six of them.
template <class Simd, unsigned VECTORS, unsigned CHAINS, unsigned CODE_BITS>
void block_tile(const BlockRows& rows, const float* x, bool fresh, float* y) {
  constexpr unsigned WIDTH = VECTORS * Simd::LANES;
  constexpr unsigned CODE = (1u << CODE_BITS) - 1;
  static_assert(PAIR == 2 && CHAINS <= PAIR);
  const std::uint16_t* entry = rows.entries;
  for (std::size_t i = 0; i < rows.rows; ++i) {
    float* const out = y + std::size_t{rows.order[i]} * WIDTH;
    // Sums lie in the second cache, in an order that no prefetcher guesses: a tenth of the time (measured at 9% and 24%).
    const float* const after = y + std::size_t{rows.order[i + 1]} * WIDTH;
    for (unsigned at = 0; at < WIDTH; at += 16) __builtin_prefetch(after + at, 1);
    typename Simd::Vector sum[CHAINS][VECTORS];
    for (unsigned v = 0; v < VECTORS; ++v) sum[0][v] = fresh ? Simd::zero() : Simd::load(out + v * Simd::LANES);
    for (unsigned v = 0; CHAINS == 2 && v < VECTORS; ++v) sum[CHAINS - 1][v] = Simd::zero();
    for (const std::uint16_t* const end = entry + PAIR * rows.pairs[i]; entry != end; entry += PAIR) {
      std::uint32_t pair;
      __builtin_memcpy(&pair, entry, sizeof pair);
      for (unsigned of = 0; of < PAIR; ++of) {
        const std::uint32_t bits = of == 0 ? pair & 0xFFFF : pair >> 16;
        const typename Simd::Vector value = Simd::broadcast(rows.codebook + (bits & CODE));
        const float* from = x + std::size_t{bits >> CODE_BITS} * WIDTH;
        typename Simd::Vector* const to = sum[of % CHAINS];
        for (unsigned v = 0; v < VECTORS; ++v) to[v] = Simd::multiply_add(value, Simd::load(from + v * Simd::LANES), to[v]);
      }
    }
    for (unsigned v = 0; v < VECTORS; ++v) {
      if (CHAINS == 2) sum[0][v] = Simd::add(sum[0][v], sum[CHAINS - 1][v]);
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

/// kernels/variant.h, CopyKernel.
template <class Simd>
void copy_runs(const CopyRun* runs, std::size_t count, const float* from, float* to) {
  for (const CopyRun* run = runs; run != runs + count; ++run) {
    float* const out = to + run->to;
    std::size_t i = 0;
    if (run->from == NOTHING) {
      for (; i < run->count; i += Simd::LANES) Simd::store(out + i, Simd::zero());
      continue;
    }
    const float* const in = from + run->from;
    for (; i + Simd::LANES <= run->count; i += Simd::LANES) Simd::store(out + i, Simd::load(in + i));
    if (i == run->count) continue;
    const auto mask = static_cast<std::uint16_t>((1u << (run->count - i)) - 1);
    Simd::store(out + i, Simd::load_lanes(Simd::zero(), mask, in + i));
  }
}

template <class Simd, bool BIAS, std::size_t STRIDE>
void finish_as(const float* sums, std::size_t count, const Finish& finish, float* y) {
  const typename Simd::Vector alpha = Simd::broadcast(&finish.alpha), beta = Simd::broadcast(&finish.beta);
  const typename Simd::Vector low = Simd::broadcast(&finish.low), high = Simd::broadcast(&finish.high);
  const auto finished = [&](std::size_t i, auto load) {
    typename Simd::Vector value = Simd::multiply(alpha, load(sums + i));
    if (BIAS) value = Simd::add(value, Simd::multiply(beta, STRIDE == 0 ? Simd::broadcast(finish.bias) : load(finish.bias + i)));
    return Simd::at_most(high, Simd::at_least(low, value));
  };
  std::size_t i = 0;
  for (; i + Simd::LANES <= count; i += Simd::LANES) Simd::store(y + i, finished(i, [](const float* from) { return Simd::load(from); }));
  if (i == count) return;
  const auto mask = static_cast<std::uint16_t>((1u << (count - i)) - 1);
  Simd::store_lanes(y + i, mask, finished(i, [&](const float* from) { return Simd::load_lanes(Simd::zero(), mask, from); }));
}

/// kernels/variant.h, FinishKernel.
template <class Simd>
void finish_sums(const float* sums, std::size_t count, const Finish& finish, float* y) {
  if (finish.bias == nullptr) {
    finish_as<Simd, false, 0>(sums, count, finish, y);
  } else if (finish.bias_stride == 0) {
    finish_as<Simd, true, 0>(sums, count, finish, y);
  } else {
    finish_as<Simd, true, 1>(sums, count, finish, y);
  }
}

template <class Simd, bool SCALE, bool ADDEND>
void store_as(const Channels& channels) {
  const typename Simd::Vector low = Simd::broadcast(&channels.low), high = Simd::broadcast(&channels.high);
  const std::size_t rest = channels.count % Simd::LANES;
  const auto mask = static_cast<std::uint16_t>((1u << rest) - 1);
  for (std::size_t r = 0; r < channels.rows; ++r) {
    const float* const sums = channels.sums + r * channels.pitch;
    const float* const addend = ADDEND ? channels.addend + r * channels.y_pitch : nullptr;
    float* const y = channels.y + r * channels.y_pitch;
    const typename Simd::Vector bias = channels.bias == nullptr ? Simd::zero() : Simd::broadcast(channels.bias + r);
    const typename Simd::Vector scale = SCALE ? Simd::broadcast(channels.scale + r) : Simd::zero();
    const auto finished = [&](std::size_t i, auto load) {
      typename Simd::Vector value = load(sums + i);
      value = SCALE ? Simd::multiply_add(scale, value, bias) : Simd::add(value, bias);
      if (ADDEND) value = Simd::add(value, load(addend + i));
      return Simd::at_most(high, Simd::at_least(low, value));
    };
    std::size_t i = 0;
    for (; i + Simd::LANES <= channels.count; i += Simd::LANES) Simd::store(y + i, finished(i, [](const float* from) { return Simd::load(from); }));
    if (rest == 0) continue;
    Simd::store_lanes(y + i, mask, finished(i, [&](const float* from) { return Simd::load_lanes(Simd::zero(), mask, from); }));
  }
}

/// kernels/variant.h, StoreKernel.
template <class Simd>
void store_channels(const Channels& channels) {
  if (channels.scale == nullptr) {
    channels.addend == nullptr ? store_as<Simd, false, false>(channels) : store_as<Simd, false, true>(channels);
  } else {
    channels.addend == nullptr ? store_as<Simd, true, false>(channels) : store_as<Simd, true, true>(channels);
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
