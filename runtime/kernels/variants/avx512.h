// What both AVX-512 variants have. Included by their files alone, which compile a copy each (kernels/variant.h).
//
// The window kernels look activations and centroids up by register permutes, never by gathers where a permute can: sixteen lanes of a
// gather take 5 cycles and more, a permute one (measured on Sapphire Rapids; 13 and a half on Zen 5).
#pragma once

#include <immintrin.h>

#include "kernels/cpu.h"
#include "kernels/variants/block_kernel.h"
#include "kernels/variants/dword_window.h"
#include "kernels/variants/float_kernel.h"
#include "kernels/variants/gate_kernel.h"
#include "kernels/variants/lane_kernel.h"
#include "kernels/variants/panel_kernel.h"
#include "kernels/variants/tap_kernel.h"
#include "kernels/variants/transpose_kernel.h"
#include "kernels/variants/window_walk.h"
#include "kernels/variants/winograd_kernel.h"

namespace sparsebook::kernels {
namespace {

struct Sixteen {
  static constexpr unsigned LANES = 16;
  using Vector = __m512;
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
  static Vector broadcast(const float* value) { return _mm512_set1_ps(*value); }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static Vector at_least(Vector low, Vector x) { return _mm512_max_ps(low, x); }
  static Vector at_most(Vector high, Vector x) { return _mm512_min_ps(high, x); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static void store_lanes(float* to, std::uint16_t mask, Vector value) { _mm512_mask_storeu_ps(to, mask, value); }
  static Vector load_lanes(Vector into, std::uint16_t mask, const float* from) { return _mm512_mask_loadu_ps(into, mask, from); }
};

// ---- transposing

// Four columns of sixteen rows: lane j of vector i is put together from row 4 j + i, so that a transposition within lanes puts the rows in
// order. Lanes come straight from memory, which leaves the port of the permutes 8 operations for 64 floats.
SPARSEBOOK_INLINE void transpose_stripe(const float* from, std::size_t from_stride, float* to, std::size_t to_stride) {
  __m512 row[4];
  for (unsigned i = 0; i < 4; ++i) {
    const float* const at = from + i * from_stride;
    const auto four = [&](std::size_t j) { return _mm_loadu_ps(at + 4 * j * from_stride); };
    row[i] = _mm512_broadcast_f32x4(four(0));
    row[i] = _mm512_mask_broadcast_f32x4(row[i], 0x00F0, four(1));
    row[i] = _mm512_mask_broadcast_f32x4(row[i], 0x0F00, four(2));
    row[i] = _mm512_mask_broadcast_f32x4(row[i], 0xF000, four(3));
  }
  const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(row[0], row[1])), high01 = _mm512_castps_pd(_mm512_unpackhi_ps(row[0], row[1]));
  const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(row[2], row[3])), high23 = _mm512_castps_pd(_mm512_unpackhi_ps(row[2], row[3]));
  _mm512_storeu_ps(to, _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23)));
  _mm512_storeu_ps(to + to_stride, _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23)));
  _mm512_storeu_ps(to + 2 * to_stride, _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23)));
  _mm512_storeu_ps(to + 3 * to_stride, _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23)));
}

/// kernels/variant.h, TransposeKernel.
void transpose_sixteens(const float* from, std::size_t from_stride, std::size_t rows, std::size_t columns, float* to,
                        std::size_t to_stride) {
  const std::size_t whole_rows = rows / 16 * 16, whole_columns = columns / 16 * 16;
  for (std::size_t c = 0; c < whole_columns; c += 16) {  // a cache line of every row, see `transpose`
    for (std::size_t r = 0; r < whole_rows; r += 16) {
      for (std::size_t i = c; i < c + 16; i += 4) transpose_stripe(from + r * from_stride + i, from_stride, to + i * to_stride + r, to_stride);
    }
  }
  transpose(from + whole_columns, from_stride, whole_rows, columns - whole_columns, to + whole_columns * to_stride, to_stride);
  transpose(from + whole_rows * from_stride, from_stride, rows - whole_rows, columns, to + whole_rows, to_stride);
}

// ---- activations: a copy in floats with a window of zeros behind it

std::size_t float_bytes(std::size_t columns) { return (columns + 128 + 15) / 16 * 64; }

bool copy_floats(const float* x, std::size_t stride, std::size_t columns, std::uint8_t* prepared) {
  float* const to = reinterpret_cast<float*>(prepared);
  const std::size_t room = float_bytes(columns) / sizeof(float);
  __mmask16 bad = 0;
  std::size_t k = 0;
  const auto put = [&](__m512 value) {
    bad = static_cast<__mmask16>(bad | _mm512_fpclass_ps_mask(value, 0x99));  // NaN, infinities
    _mm512_storeu_ps(to + k, value);
  };
  if (stride == 1) {
    for (; k + 16 <= columns; k += 16) put(_mm512_loadu_ps(x + k));
    if (k < columns) {
      put(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << (columns - k)) - 1), x + k));
      k += 16;
    }
  } else {
    for (; k < columns; k += 16) {
      float some[16] = {};
      for (std::size_t i = 0; i < 16 && k + i < columns; ++i) some[i] = x[(k + i) * stride];
      put(_mm512_loadu_ps(some));
    }
  }
  for (; k < room; k += 16) _mm512_storeu_ps(to + k, _mm512_setzero_ps());
  return bad == 0;
}

// ---- look-ups: x by a place's column, the codebook by its code; both begin at bit 0 of the words they are given, and a permute
// ignores the bits above its own

using Words = std::uint32_t __attribute__((vector_size(64)));

inline __m512i bits(Words words) { return reinterpret_cast<__m512i>(words); }

// Sixteen activations in a register. Without the barrier GCC reads them again for every permute, which overwrites one of its tables, and
// half of those reads cross a cache line.
inline __m512 held(const float* from) {
  __m512 value = _mm512_loadu_ps(from);
  __asm__("" : "+v"(value));
  return value;
}

struct Window16 {
  static constexpr unsigned COLUMNS = 16, INDEX_BITS = 4, ALIGN = 1;
  __m512 x;
  explicit Window16(const float* from) : x(held(from)) {}
  __m512 operator()(Words place) const { return _mm512_permutexvar_ps(bits(place), x); }
};

struct Window32 {
  static constexpr unsigned COLUMNS = 32, INDEX_BITS = 5, ALIGN = 1;
  __m512 low, high;
  explicit Window32(const float* from) : low(held(from)), high(held(from + 16)) {}
  __m512 operator()(Words place) const { return _mm512_permutex2var_ps(low, bits(place), high); }
};

// Aligned to a cache line: none of its four loads crosses one.
struct Window64 {
  static constexpr unsigned COLUMNS = 64, INDEX_BITS = 6, ALIGN = 16;
  __m512 x[4];
  explicit Window64(const float* from) : x{held(from), held(from + 16), held(from + 32), held(from + 48)} {}
  __m512 operator()(Words place) const {
    const __mmask16 upper = _mm512_test_epi32_mask(bits(place), _mm512_set1_epi32(32));
    return _mm512_mask_blend_ps(upper, _mm512_permutex2var_ps(x[0], bits(place), x[1]),
                                _mm512_permutex2var_ps(x[2], bits(place), x[3]));
  }
};

struct Codebook16 {
  static constexpr unsigned CODE_BITS = 4;
  __m512 values;
  explicit Codebook16(const float* codebook) : values(_mm512_loadu_ps(codebook)) {}
  __m512 operator()(Words code) const { return _mm512_permutexvar_ps(bits(code), values); }
};

struct Codebook32 {
  static constexpr unsigned CODE_BITS = 5;
  __m512 low, high;
  explicit Codebook32(const float* codebook) : low(_mm512_loadu_ps(codebook)), high(_mm512_loadu_ps(codebook + 16)) {}
  __m512 operator()(Words code) const { return _mm512_permutex2var_ps(low, bits(code), high); }
};

// A kilobyte, which no number of permutes looks up as fast as a gather does.
struct Codebook256 {
  static constexpr unsigned CODE_BITS = 8;
  const float* codebook;
  explicit Codebook256(const float* values) : codebook(values) {}
  __m512 operator()(Words code) const { return _mm512_i32gather_ps(bits(code & 255), codebook, 4); }
};

// ---- the kernel

// One row of activations keeps a sum for every slot, to hide the additions' latency; several rows have sums enough.
template <class Window, class Codebook, unsigned SLOTS, unsigned BATCH>
struct WordLookup {
  static constexpr unsigned PLACE_BITS = Window::INDEX_BITS + Codebook::CODE_BITS;
  static constexpr unsigned CHAINS = BATCH == 1 ? SLOTS : 1;
  static constexpr std::size_t BYTES = sizeof(Words), STEP_BYTES = Window::ALIGN * sizeof(float), FLOATS = BATCH * WORD_ROWS;
  struct Sums {
    __m512 of[BATCH][CHAINS];
    Sums() {
      for (unsigned b = 0; b < BATCH; ++b) {
        for (unsigned c = 0; c < CHAINS; ++c) of[b][c] = _mm512_setzero_ps();
      }
    }
  };
  Codebook codebook;
  std::size_t pitch;

  SPARSEBOOK_INLINE void add(const std::uint8_t* group, const std::uint8_t* base, Sums& sums) const {
    const Words word = reinterpret_cast<Words>(_mm512_loadu_si512(group));
    Words place[SLOTS];
    __m512 value[SLOTS];
    for (unsigned s = 0; s < SLOTS; ++s) {
      place[s] = word >> (s * PLACE_BITS);
      value[s] = codebook(word >> (s * PLACE_BITS + Window::INDEX_BITS));
    }
    for (unsigned b = 0; b < BATCH; ++b) {
      const Window window(reinterpret_cast<const float*>(base + b * pitch));
      for (unsigned s = 0; s < SLOTS; ++s) sums.of[b][s % CHAINS] = _mm512_fmadd_ps(value[s], window(place[s]), sums.of[b][s % CHAINS]);
    }
  }
  static void store(const Sums& sums, float* to) {
    for (unsigned b = 0; b < BATCH; ++b, to += WORD_ROWS) {
      __m512 sum = sums.of[b][0];
      for (unsigned c = 1; c < CHAINS; ++c) sum = _mm512_add_ps(sum, sums.of[b][c]);
      _mm512_storeu_ps(to, sum);
    }
  }
};

template <class Window, class Codebook, unsigned SLOTS, unsigned BATCH>
void word_window(const WindowStrips& strips, const std::uint8_t* prepared, std::size_t pitch, float* sums) {
  constexpr std::size_t STRANDS = BATCH == 1 ? 4 : 1;
  walk_windows<STRANDS>(WordLookup<Window, Codebook, SLOTS, BATCH>{Codebook(strips.codebook), pitch}, strips, prepared, sums);
}

template <class Window, class Codebook, unsigned SLOTS>
constexpr WindowRow word_row(float cost, float batch_cost) {
  using Places = Word<SLOTS, Window::INDEX_BITS, Codebook::CODE_BITS>;
  return {{WORD_ROWS, SLOTS, Window::COLUMNS, Window::ALIGN, (1u << Codebook::CODE_BITS) - 1, Places::BYTES, cost, Places::put,
           Places::index, Places::code},
          {float_bytes, copy_floats},
          {word_window<Window, Codebook, SLOTS, 1>, word_window<Window, Codebook, SLOTS, 4>,
           word_window<Window, Codebook, SLOTS, 8>},
          batch_cost};
}

// The places of every AVX-512 machine: the widest codebook decides, then how dense the weight is. All costs below are cycles as measured
// on Sapphire Rapids, of groups and tiles that the second cache holds.
constexpr WindowRow WORDS_16_4 = word_row<Window16, Codebook16, 4>(8, 3.4f);
constexpr WindowRow WORDS_32_5 = word_row<Window32, Codebook32, 3>(7, 3.2f);
constexpr WindowRow WORDS_64_4 = word_row<Window64, Codebook16, 3>(10, 5.4f);
constexpr WindowRow WORDS_64_8 = word_row<Window64, Codebook256, 2>(17, 2.8f);

constexpr BlockRow BLOCKS[] = {
    block_row<One, 1, 2>(2, 8),          block_row<Sixteen, 1, 2>(1.7f, 8),   block_row<Sixteen, 2, 2>(2.3f, 8),
    block_row<Sixteen, 3, 2>(3.1f, 10),  block_row<Sixteen, 4, 2>(3.8f, 10),  block_row<Sixteen, 5, 1>(4.7f, 12),
    block_row<Sixteen, 6, 1>(5.6f, 12),  block_row<Sixteen, 7, 1>(6.4f, 14),  block_row<Sixteen, 8, 1>(7.1f, 14)};
constexpr std::size_t BLOCK_COUNT = sizeof BLOCKS / sizeof *BLOCKS;

// Thirty-two registers: up to twenty-four sums.
constexpr PanelRow PANELS[] = {panel_row<Sixteen, 1, 8>(6), panel_row<Sixteen, 2, 8>(8.6f), panel_row<Sixteen, 3, 8>(11.8f),
                               panel_row<Sixteen, 4, 4>(16.5f)};
constexpr std::size_t PANEL_COUNT = sizeof PANELS / sizeof *PANELS;

// The codes of two panels, of which the second may not be there.
template <class Codebook>
struct PanelValues {
  Codebook codebook;
  explicit PanelValues(const float* values) : codebook(values) {}
  __m512 operator()(const std::uint8_t* codes, std::size_t panel_bytes, std::size_t rows) const {
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
    const __m128i second = rows > PANEL_ROWS ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + panel_bytes)) : _mm_setzero_si128();
    return codebook(reinterpret_cast<Words>(_mm512_cvtepu8_epi32(_mm_unpacklo_epi64(first, second))));
  }
};

// Thirty-two registers: twenty-four sums, two vectors of weights, an activation.
constexpr WinogradKernels WINOGRAD =
    winograd_kernels<Sixteen, PanelValues<Codebook32>, PanelValues<Codebook256>, 12, 2>({0.55f, 2.8f, 5, 2.8f});

}  // namespace
}  // namespace sparsebook::kernels
