// Convolution by tiles of 4 x 4 outputs, after Winograd: F(4 x 4, 3 x 3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
// (arXiv 1509.09308, section 4.1): Y = A' [(G g G') . (B' d B)] A, 36 multiplications where 144 are meant.
//
// The points are 0, 5/8, -5/8, 3/2, -3/2 and infinity, not the paper's 0, 1, -1, 2, -2: of all a < b in steps of an eighth these lost least. With 512
// channels of normal activations the error of float32 was 1.2e-6 to 1.4e-6 of the outputs' root mean square; 2.5e-6 to 3.1e-6 with the paper's, and
// 2.7e-7 to 3.8e-7 summed directly.
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

/// B' times a column of six.
template <class Simd>
SPARSEBOOK_INLINE void winograd_input_line(const typename Simd::Vector (&d)[WINOGRAD_IN], typename Simd::Vector (&to)[WINOGRAD_IN]) {
  using Vector = typename Simd::Vector;
  constexpr float BOTH = WINOGRAD_AA + WINOGRAD_BB, PRODUCT = WINOGRAD_AA * WINOGRAD_BB;
  to[0] = plus<Simd>(PRODUCT, d[0], plus<Simd>(-BOTH, d[2], d[4]));
  to[5] = plus<Simd>(PRODUCT, d[1], plus<Simd>(-BOTH, d[3], d[5]));
  const Vector even_a = plus<Simd>(-WINOGRAD_BB, d[2], d[4]), odd_a = plus<Simd>(-WINOGRAD_BB, d[1], d[3]);
  to[1] = plus<Simd>(WINOGRAD_A, odd_a, even_a);
  to[2] = plus<Simd>(-WINOGRAD_A, odd_a, even_a);
  const Vector even_b = plus<Simd>(-WINOGRAD_AA, d[2], d[4]), odd_b = plus<Simd>(-WINOGRAD_AA, d[1], d[3]);
  to[3] = plus<Simd>(WINOGRAD_B, odd_b, even_b);
  to[4] = plus<Simd>(-WINOGRAD_B, odd_b, even_b);
}

/// G times a column of three.
template <class Simd>
SPARSEBOOK_INLINE void winograd_weight_line(const typename Simd::Vector (&g)[WINOGRAD_TAPS], typename Simd::Vector (&to)[WINOGRAD_IN]) {
  using Vector = typename Simd::Vector;
  constexpr float OF_A = 1 / (2 * WINOGRAD_AA * (WINOGRAD_AA - WINOGRAD_BB)), OF_B = 1 / (2 * WINOGRAD_BB * (WINOGRAD_BB - WINOGRAD_AA));
  to[0] = times<Simd>(1 / (WINOGRAD_AA * WINOGRAD_BB), g[0]);
  const Vector even_a = plus<Simd>(WINOGRAD_AA * OF_A, g[2], times<Simd>(OF_A, g[0]));
  to[1] = plus<Simd>(WINOGRAD_A * OF_A, g[1], even_a);
  to[2] = plus<Simd>(-WINOGRAD_A * OF_A, g[1], even_a);
  const Vector even_b = plus<Simd>(WINOGRAD_BB * OF_B, g[2], times<Simd>(OF_B, g[0]));
  to[3] = plus<Simd>(WINOGRAD_B * OF_B, g[1], even_b);
  to[4] = plus<Simd>(-WINOGRAD_B * OF_B, g[1], even_b);
  to[5] = g[2];
}

/// A' times a column of six.
template <class Simd>
SPARSEBOOK_INLINE void winograd_output_line(const typename Simd::Vector (&m)[WINOGRAD_IN], typename Simd::Vector (&to)[WINOGRAD_OUT]) {
  using Vector = typename Simd::Vector;
  const Vector even_a = Simd::add(m[1], m[2]), odd_a = plus<Simd>(-1, m[2], m[1]);
  const Vector even_b = Simd::add(m[3], m[4]), odd_b = plus<Simd>(-1, m[4], m[3]);
  to[0] = Simd::add(m[0], Simd::add(even_a, even_b));
  to[1] = plus<Simd>(WINOGRAD_B, odd_b, times<Simd>(WINOGRAD_A, odd_a));
  to[2] = plus<Simd>(WINOGRAD_BB, even_b, times<Simd>(WINOGRAD_AA, even_a));
  to[3] = plus<Simd>(WINOGRAD_B * WINOGRAD_BB, odd_b, plus<Simd>(WINOGRAD_A * WINOGRAD_AA, odd_a, m[5]));
}

/// kernels/variant.h, WinogradInput.
template <class Simd>
bool winograd_input(const float* from, std::size_t row_floats, std::size_t tiles, const WinogradPlane& to) {
  const std::size_t apart = to.point_floats;  // what is read through `to` would be read again after every store
  typename Simd::Vector spoilt = Simd::zero();  // stays zero while everything is finite
  for (std::size_t t = 0; t < tiles; ++t, from += WINOGRAD_OUT * Simd::LANES) {
    typename Simd::Vector half[WINOGRAD_IN][WINOGRAD_IN];
    for (unsigned column = 0; column < WINOGRAD_IN; ++column) {
      typename Simd::Vector line[WINOGRAD_IN], done[WINOGRAD_IN];
      for (unsigned row = 0; row < WINOGRAD_IN; ++row) line[row] = Simd::load(from + row * row_floats + column * Simd::LANES);
      winograd_input_line<Simd>(line, done);
      for (unsigned row = 0; row < WINOGRAD_IN; ++row) half[row][column] = done[row];
    }
    float* out = to.at + t * to.tile_floats;
    for (unsigned row = 0; row < WINOGRAD_IN; ++row) {
      typename Simd::Vector done[WINOGRAD_IN];
      winograd_input_line<Simd>(half[row], done);
      for (unsigned column = 0; column < WINOGRAD_IN; ++column, out += apart) {
        spoilt = Simd::multiply_add(done[column], Simd::zero(), spoilt);
        Simd::store(out, done[column]);
      }
    }
  }
  float lanes[Simd::LANES];
  Simd::store(lanes, spoilt);
  bool finite = true;
  for (const float lane : lanes) finite = finite && lane == 0;
  return finite;
}

/// kernels/variant.h, WinogradWeight. `Values` looks the codes of a vector up: one byte of every row of neighbouring panels.
template <class Simd, class Values, unsigned VECTORS>
void winograd_weight(const WinogradCodes& codes, std::size_t channels, const WinogradPlane& to) {
  const Values values(codes.codebook);
  const std::size_t apart = to.point_floats, panel_bytes = codes.panel_bytes;  // see winograd_input
  for (unsigned v = 0; v < VECTORS; ++v) {
    const std::size_t row = v * Simd::LANES;  // of the block
    const std::size_t rows = row < codes.rows ? codes.rows - row : 0;
    for (std::size_t c = 0; c < channels; ++c) {
      float* out = to.at + c * to.tile_floats + row;
      if (rows == 0) {
        for (unsigned p = 0; p < WINOGRAD_POINTS; ++p, out += apart) Simd::store(out, Simd::zero());
        continue;
      }
      const std::uint8_t* code = codes.at + row / PANEL_ROWS * panel_bytes + row % PANEL_ROWS + c * WINOGRAD_TAPS * WINOGRAD_TAPS * PANEL_ROWS;
      typename Simd::Vector half[WINOGRAD_IN][WINOGRAD_TAPS];
      for (unsigned column = 0; column < WINOGRAD_TAPS; ++column) {
        typename Simd::Vector line[WINOGRAD_TAPS], done[WINOGRAD_IN];
        for (unsigned tap = 0; tap < WINOGRAD_TAPS; ++tap) {
          line[tap] = values(code + (tap * WINOGRAD_TAPS + column) * PANEL_ROWS, panel_bytes, rows);
        }
        winograd_weight_line<Simd>(line, done);
        for (unsigned point = 0; point < WINOGRAD_IN; ++point) half[point][column] = done[point];
      }
      for (unsigned point = 0; point < WINOGRAD_IN; ++point) {
        typename Simd::Vector done[WINOGRAD_IN];
        winograd_weight_line<Simd>(half[point], done);
        for (unsigned column = 0; column < WINOGRAD_IN; ++column, out += apart) Simd::store(out, done[column]);
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
template <class Simd>
void winograd_output(const WinogradPlane& from, std::size_t tiles, float* to, std::size_t row_floats) {
  for (std::size_t t = 0; t < tiles; ++t, to += WINOGRAD_OUT * Simd::LANES) {
    const float* in = from.at + t * from.tile_floats;
    typename Simd::Vector half[WINOGRAD_IN][WINOGRAD_OUT];
    for (unsigned row = 0; row < WINOGRAD_IN; ++row) {
      typename Simd::Vector line[WINOGRAD_IN];
      for (unsigned column = 0; column < WINOGRAD_IN; ++column, in += from.point_floats) line[column] = Simd::load(in);
      winograd_output_line<Simd>(line, half[row]);
    }
    for (unsigned column = 0; column < WINOGRAD_OUT; ++column) {
      typename Simd::Vector line[WINOGRAD_IN], done[WINOGRAD_OUT];
      for (unsigned row = 0; row < WINOGRAD_IN; ++row) line[row] = half[row][column];
      winograd_output_line<Simd>(line, done);
      for (unsigned row = 0; row < WINOGRAD_OUT; ++row) Simd::store(to + row * row_floats + column * Simd::LANES, done[row]);
    }
  }
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

/// An instruction set's kernels, of TILES x VECTORS sums.
template <class Simd, class Narrow, class Wide, unsigned TILES, unsigned VECTORS>
constexpr WinogradKernels winograd_kernels(const WinogradCosts& costs) {
  return {VECTORS * Simd::LANES,
          costs,
          winograd_input<Simd>,
          winograd_weight<Simd, Narrow, VECTORS>,
          winograd_weight<Simd, Wide, VECTORS>,
          winograd_product<Simd, TILES, VECTORS>,
          winograd_output<Simd>};
}

}  // namespace
}  // namespace sparsebook::kernels
