// Convolution by tiles of outputs, after Winograd: minimal filtering of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
// (arXiv 1509.09308, sections 4.1 and 4.2), F(4, 3) or F(2, 5) along an axis: Y = A' [(G g G') . (B' d B)] A. With kernels of 3 x 3 these are
// 36 multiplications where 144 are meant, with kernels of 5 x 5 36 for 100, with kernels of 3 or 5 in one direction 6 for 12 or 10.
//
// The points are 0, 5/8, -5/8, 3/2, -3/2 and infinity, not the paper's 0, 1, -1, 2, -2: of all a < b in steps of an eighth these lost least. With 512
// channels of normal activations and 3 x 3 the error of float32 was 1.2e-6 to 1.4e-6 of the outputs' root mean square; 2.5e-6 to 3.1e-6 with the
// paper's, and 2.7e-7 to 3.8e-7 summed directly.
#pragma once

#include "kernels/variants/block_kernel.h"
#include "kernels/variants/window_walk.h"

namespace sparsebook::kernels {
namespace {  // every variant compiles its own (kernels/variant.h)

inline constexpr float WINOGRAD_A = 0.625f, WINOGRAD_B = 1.5f;
inline constexpr float WINOGRAD_AA = WINOGRAD_A * WINOGRAD_A, WINOGRAD_BB = WINOGRAD_B * WINOGRAD_B;

/// A vector times a constant, plus another.
template <class Simd>
SPARSEBOOK_INLINE typename Simd::Vector plus(float factor, typename Simd::Vector a, typename Simd::Vector b) {
  return Simd::multiply_add(Simd::broadcast(&factor), a, b);
}

template <class Simd>
SPARSEBOOK_INLINE typename Simd::Vector times(float factor, typename Simd::Vector a) {
  return Simd::multiply(Simd::broadcast(&factor), a);
}

/// What becomes of the values along one axis, for kernels of TAPS elements there.
template <class Simd, unsigned TAPS>
struct WinogradLine;

/// An axis along which nothing is saved: the kernel has one element there.
template <class Simd>
struct WinogradLine<Simd, 1> {
  using Vector = typename Simd::Vector;
  static constexpr unsigned POINTS = 1, OUT = 1;
  SPARSEBOOK_INLINE static void input(const Vector (&d)[1], Vector (&to)[1]) { to[0] = d[0]; }
  SPARSEBOOK_INLINE static void weight(const Vector (&g)[1], Vector (&to)[1]) { to[0] = g[0]; }
  SPARSEBOOK_INLINE static void output(const Vector (&m)[1], Vector (&to)[1]) { to[0] = m[0]; }
};

template <class Simd>
struct WinogradSixPoints {
  using Vector = typename Simd::Vector;
  static constexpr unsigned POINTS = WINOGRAD_POINTS;
  static constexpr float OF_0 = 1 / (WINOGRAD_AA * WINOGRAD_BB);
  static constexpr float OF_A = 1 / (2 * WINOGRAD_AA * (WINOGRAD_AA - WINOGRAD_BB)), OF_B = 1 / (2 * WINOGRAD_BB * (WINOGRAD_BB - WINOGRAD_AA));

  /// B' times a column of six.
  SPARSEBOOK_INLINE static void input(const Vector (&d)[POINTS], Vector (&to)[POINTS]) {
    constexpr float BOTH = WINOGRAD_AA + WINOGRAD_BB, PRODUCT = WINOGRAD_AA * WINOGRAD_BB;
    to[0] = plus<Simd>(PRODUCT, d[0], plus<Simd>(-BOTH, d[2], d[4]));
    to[5] = plus<Simd>(PRODUCT, d[1], plus<Simd>(-BOTH, d[3], d[5]));
    pair(WINOGRAD_A, plus<Simd>(-WINOGRAD_BB, d[1], d[3]), plus<Simd>(-WINOGRAD_BB, d[2], d[4]), to[1], to[2]);
    pair(WINOGRAD_B, plus<Simd>(-WINOGRAD_AA, d[1], d[3]), plus<Simd>(-WINOGRAD_AA, d[2], d[4]), to[3], to[4]);
  }

  /// even + factor * odd and even - factor * odd: what a point and its opposite share is computed once.
  SPARSEBOOK_INLINE static void pair(float factor, Vector odd, Vector even, Vector& one, Vector& other) {
    one = plus<Simd>(factor, odd, even);
    other = plus<Simd>(-factor, odd, even);
  }
};

/// F(4, 3).
template <class Simd>
struct WinogradLine<Simd, 3> : WinogradSixPoints<Simd> {
  using Vector = typename Simd::Vector;
  using Six = WinogradSixPoints<Simd>;
  static constexpr unsigned OUT = 4;

  /// G times a column of three.
  SPARSEBOOK_INLINE static void weight(const Vector (&g)[3], Vector (&to)[WINOGRAD_POINTS]) {
    to[0] = times<Simd>(Six::OF_0, g[0]);
    Six::pair(WINOGRAD_A * Six::OF_A, g[1], plus<Simd>(WINOGRAD_AA * Six::OF_A, g[2], times<Simd>(Six::OF_A, g[0])), to[1], to[2]);
    Six::pair(WINOGRAD_B * Six::OF_B, g[1], plus<Simd>(WINOGRAD_BB * Six::OF_B, g[2], times<Simd>(Six::OF_B, g[0])), to[3], to[4]);
    to[5] = g[2];
  }

  /// A' times a column of six.
  SPARSEBOOK_INLINE static void output(const Vector (&m)[WINOGRAD_POINTS], Vector (&to)[OUT]) {
    const Vector even_a = Simd::add(m[1], m[2]), odd_a = plus<Simd>(-1, m[2], m[1]);
    const Vector even_b = Simd::add(m[3], m[4]), odd_b = plus<Simd>(-1, m[4], m[3]);
    to[0] = Simd::add(m[0], Simd::add(even_a, even_b));
    to[1] = plus<Simd>(WINOGRAD_B, odd_b, times<Simd>(WINOGRAD_A, odd_a));
    to[2] = plus<Simd>(WINOGRAD_BB, even_b, times<Simd>(WINOGRAD_AA, even_a));
    to[3] = plus<Simd>(WINOGRAD_B * WINOGRAD_BB, odd_b, plus<Simd>(WINOGRAD_A * WINOGRAD_AA, odd_a, m[5]));
  }
};

/// F(2, 5).
template <class Simd>
struct WinogradLine<Simd, 5> : WinogradSixPoints<Simd> {
  using Vector = typename Simd::Vector;
  using Six = WinogradSixPoints<Simd>;
  static constexpr unsigned OUT = 2;

  /// G times a column of five.
  SPARSEBOOK_INLINE static void weight(const Vector (&g)[5], Vector (&to)[WINOGRAD_POINTS]) {
    to[0] = times<Simd>(Six::OF_0, g[0]);
    at_pair(g, WINOGRAD_A, Six::OF_A, to[1], to[2]);
    at_pair(g, WINOGRAD_B, Six::OF_B, to[3], to[4]);
    to[5] = g[4];
  }

  /// A' times a column of six.
  SPARSEBOOK_INLINE static void output(const Vector (&m)[WINOGRAD_POINTS], Vector (&to)[OUT]) {
    to[0] = Simd::add(m[0], Simd::add(Simd::add(m[1], m[2]), Simd::add(m[3], m[4])));
    const Vector odd_a = plus<Simd>(-1, m[2], m[1]), odd_b = plus<Simd>(-1, m[4], m[3]);
    to[1] = plus<Simd>(WINOGRAD_B, odd_b, plus<Simd>(WINOGRAD_A, odd_a, m[5]));
  }

 private:
  /// The kernel's polynomial at a point and its opposite, times `scale`.
  SPARSEBOOK_INLINE static void at_pair(const Vector (&g)[5], float point, float scale, Vector& one, Vector& other) {
    const float square = point * point;
    const Vector even = plus<Simd>(square * square * scale, g[4], plus<Simd>(square * scale, g[2], times<Simd>(scale, g[0])));
    const Vector odd = plus<Simd>(square * scale, g[3], times<Simd>(scale, g[1]));
    Six::pair(point, odd, even, one, other);
  }
};

/// kernels/variant.h, WinogradInput.
template <class Simd, class High, class Wide>
void winograd_input(const float* from, std::size_t row_floats, std::size_t tiles, const WinogradPlane& to) {
  using Vector = typename Simd::Vector;
  const std::size_t apart = to.point_floats;  // what is read through `to` would be read again after every store
  for (std::size_t t = 0; t < tiles; ++t, from += Wide::OUT * Simd::LANES) {
    Vector half[High::POINTS][Wide::POINTS];
    for (unsigned column = 0; column < Wide::POINTS; ++column) {
      Vector line[High::POINTS], done[High::POINTS];
      for (unsigned row = 0; row < High::POINTS; ++row) line[row] = Simd::load(from + row * row_floats + column * Simd::LANES);
      High::input(line, done);
      for (unsigned row = 0; row < High::POINTS; ++row) half[row][column] = done[row];
    }
    float* out = to.at + t * to.tile_floats;
    for (unsigned row = 0; row < High::POINTS; ++row) {
      Vector done[Wide::POINTS];
      Wide::input(half[row], done);
      for (unsigned column = 0; column < Wide::POINTS; ++column, out += apart) {
        Simd::store(out, done[column]);
      }
    }
  }
}

/// kernels/variant.h, WinogradWeight. `Values` looks the codes of a vector up: one byte of every row of neighbouring panels.
template <class Simd, class High, unsigned TAPS_HIGH, class Wide, unsigned TAPS_WIDE, class Values, unsigned VECTORS>
void winograd_weight(const WinogradCodes& codes, std::size_t channels, const WinogradPlane& to) {
  using Vector = typename Simd::Vector;
  const Values values(codes.codebook);
  const std::size_t apart = to.point_floats, panel_bytes = codes.panel_bytes;  // see winograd_input
  for (unsigned v = 0; v < VECTORS; ++v) {
    const std::size_t row = v * Simd::LANES;  // of the block
    const std::size_t rows = row < codes.rows ? codes.rows - row : 0;
    for (std::size_t c = 0; c < channels; ++c) {
      float* out = to.at + c * to.tile_floats + row;
      if (rows == 0) {
        for (unsigned p = 0; p < High::POINTS * Wide::POINTS; ++p, out += apart) Simd::store(out, Simd::zero());
        continue;
      }
      const std::uint8_t* code = codes.at + row / PANEL_ROWS * panel_bytes + row % PANEL_ROWS + c * TAPS_HIGH * TAPS_WIDE * PANEL_ROWS;
      Vector half[High::POINTS][TAPS_WIDE];
      for (unsigned column = 0; column < TAPS_WIDE; ++column) {
        Vector line[TAPS_HIGH], done[High::POINTS];
        for (unsigned tap = 0; tap < TAPS_HIGH; ++tap) line[tap] = values(code + (tap * TAPS_WIDE + column) * PANEL_ROWS, panel_bytes, rows);
        High::weight(line, done);
        for (unsigned point = 0; point < High::POINTS; ++point) half[point][column] = done[point];
      }
      for (unsigned point = 0; point < High::POINTS; ++point) {
        Vector done[Wide::POINTS];
        Wide::weight(half[point], done);
        for (unsigned column = 0; column < Wide::POINTS; ++column, out += apart) Simd::store(out, done[column]);
      }
    }
  }
}

/// TILES tiles by VECTORS vectors of output channels, whose sums stay in registers for all channels.
template <class Simd, unsigned TILES, unsigned VECTORS>
void winograd_rows(const WinogradProduct& of) {
  typename Simd::Vector sum[TILES][VECTORS];
  for (unsigned t = 0; t < TILES; ++t) {
    for (unsigned v = 0; v < VECTORS; ++v) {
      sum[t][v] = of.fresh ? Simd::zero() : Simd::load(of.sums + (t * VECTORS + v) * Simd::LANES);
    }
  }
  const float* weight = of.weights;
  for (std::size_t c = 0; c < of.channels; ++c, weight += VECTORS * Simd::LANES) {
    typename Simd::Vector values[VECTORS];
    for (unsigned v = 0; v < VECTORS; ++v) values[v] = Simd::load(weight + v * Simd::LANES);
    for (unsigned t = 0; t < TILES; ++t) {
      const typename Simd::Vector activation = Simd::broadcast(of.inputs + t * of.tile_floats + c);
      for (unsigned v = 0; v < VECTORS; ++v) sum[t][v] = Simd::multiply_add(activation, values[v], sum[t][v]);
    }
  }
  for (unsigned t = 0; t < TILES; ++t) {
    for (unsigned v = 0; v < VECTORS; ++v) Simd::store(of.sums + (t * VECTORS + v) * Simd::LANES, sum[t][v]);
  }
}

/// Calls winograd_rows for `tiles` in [1, TILES].
template <class Simd, unsigned TILES, unsigned VECTORS>
SPARSEBOOK_INLINE void winograd_some_rows(unsigned tiles, const WinogradProduct& of) {
  if constexpr (TILES > 1) {
    if (tiles < TILES) return winograd_some_rows<Simd, TILES - 1, VECTORS>(tiles, of);
  }
  winograd_rows<Simd, TILES, VECTORS>(of);
}

/// kernels/variant.h, WinogradProduct. Tiles are cut evenly: fewer at once than registers allow are slower each.
template <class Simd, unsigned TILES, unsigned VECTORS>
void winograd_product(WinogradProduct of, std::size_t tiles) {
  for (std::size_t parts = (tiles + TILES - 1) / TILES; parts != 0; --parts) {
    const auto some = static_cast<unsigned>((tiles + parts - 1) / parts);
    winograd_some_rows<Simd, TILES, VECTORS>(some, of);
    of.inputs += some * of.tile_floats;
    of.sums += some * VECTORS * Simd::LANES;
    tiles -= some;
  }
}

/// kernels/variant.h, WinogradOutput.
template <class Simd, class High, class Wide>
bool winograd_output(const WinogradPlane& from, std::size_t tiles, float* to, std::size_t row_floats) {
  using Vector = typename Simd::Vector;
  Vector spoilt = Simd::zero();  // stays zero while everything is finite
  for (std::size_t t = 0; t < tiles; ++t, to += Wide::OUT * Simd::LANES) {
    const float* in = from.at + t * from.tile_floats;
    Vector half[High::POINTS][Wide::OUT];
    for (unsigned row = 0; row < High::POINTS; ++row) {
      Vector line[Wide::POINTS];
      for (unsigned column = 0; column < Wide::POINTS; ++column, in += from.point_floats) line[column] = Simd::load(in);
      Wide::output(line, half[row]);
    }
    for (unsigned column = 0; column < Wide::OUT; ++column) {
      Vector line[High::POINTS], done[High::OUT];
      for (unsigned row = 0; row < High::POINTS; ++row) line[row] = half[row][column];
      High::output(line, done);
      for (unsigned row = 0; row < High::OUT; ++row) {
        spoilt = Simd::multiply_add(done[row], Simd::zero(), spoilt);
        Simd::store(to + row * row_floats + column * Simd::LANES, done[row]);
      }
    }
  }
  float lanes[Simd::LANES];
  Simd::store(lanes, spoilt);
  bool finite = true;
  for (const float lane : lanes) finite = finite && lane == 0;
  return finite;
}

/// A vector's values one after the other, for instruction sets without a look-up.
template <class Simd>
struct WinogradValues {
  const float* codebook;
  explicit WinogradValues(const float* values) : codebook(values) {}
  typename Simd::Vector operator()(const std::uint8_t* codes, std::size_t panel_bytes, std::size_t rows) const {
    float value[Simd::LANES] = {};
    for (unsigned r = 0; r < Simd::LANES && r < rows; ++r) value[r] = codebook[codes[r / PANEL_ROWS * panel_bytes + r % PANEL_ROWS]];
    return Simd::load(value);
  }
};

/// The transforms for kernels of TAPS_HIGH x TAPS_WIDE.
template <class Simd, class Narrow, class Wide, unsigned VECTORS, unsigned TAPS_HIGH, unsigned TAPS_WIDE>
constexpr WinogradTransforms winograd_transforms() {
  using OnHigh = WinogradLine<Simd, TAPS_HIGH>;
  using OnWide = WinogradLine<Simd, TAPS_WIDE>;
  return {{TAPS_HIGH, OnHigh::POINTS, OnHigh::OUT},
          {TAPS_WIDE, OnWide::POINTS, OnWide::OUT},
          winograd_input<Simd, OnHigh, OnWide>,
          winograd_weight<Simd, OnHigh, TAPS_HIGH, OnWide, TAPS_WIDE, Narrow, VECTORS>,
          winograd_weight<Simd, OnHigh, TAPS_HIGH, OnWide, TAPS_WIDE, Wide, VECTORS>,
          winograd_output<Simd, OnHigh, OnWide>};
}

/// An instruction set's kernels, of TILES x VECTORS sums.
template <class Simd, class Narrow, class Wide, unsigned TILES, unsigned VECTORS>
constexpr WinogradKernels winograd_kernels(const WinogradCosts& costs) {
  return {VECTORS * Simd::LANES,
          costs,
          winograd_product<Simd, TILES, VECTORS>,
          {winograd_transforms<Simd, Narrow, Wide, VECTORS, 3, 3>(), winograd_transforms<Simd, Narrow, Wide, VECTORS, 5, 5>(),
           winograd_transforms<Simd, Narrow, Wide, VECTORS, 1, 3>(), winograd_transforms<Simd, Narrow, Wide, VECTORS, 3, 1>(),
           winograd_transforms<Simd, Narrow, Wide, VECTORS, 1, 5>(), winograd_transforms<Simd, Narrow, Wide, VECTORS, 5, 1>()}};
}

}  // namespace
}  // namespace sparsebook::kernels
