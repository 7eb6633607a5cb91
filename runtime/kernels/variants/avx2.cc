// x86-64 with AVX2 and FMA (2013 on).
//
// The window kernel looks activations and centroids up by byte shuffles: a float is four bytes, its planes lie apart, and one
// `vpshufb` finds a plane's byte for 32 places at once. Twelve shuffles then give 32 activations. A gather of eight takes as long as
// all of that (measured on Zen 3: 0.55 ns a non-zero by gathers, 0.25 by shuffles, at 9% density).
#include <immintrin.h>

#include "kernels/cpu.h"
#include "kernels/variants/avx2_expand.h"
#include "kernels/variants/float_kernel.h"
#include "kernels/variants/gate_kernel.h"
#include "kernels/variants/lane_kernel.h"
#include "kernels/variants/panel_kernel.h"
#include "kernels/variants/tap_kernel.h"
#include "kernels/variants/transpose_kernel.h"
#include "kernels/variants/winograd_kernel.h"

namespace sparsebook::kernels {
namespace {

struct Eight {
  static constexpr unsigned LANES = 8;
  using Vector = __m256;
  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Vector value) { _mm256_storeu_ps(to, value); }
  static Vector broadcast(const float* value) { return _mm256_broadcast_ss(value); }
  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector at_least(Vector low, Vector x) { return _mm256_max_ps(low, x); }
  static Vector at_most(Vector high, Vector x) { return _mm256_min_ps(high, x); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static __m256i lanes(std::uint16_t mask) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(mask), bit), bit);
  }
  static Vector load_lanes(Vector into, std::uint16_t mask, const float* from) {
    return _mm256_or_ps(into, _mm256_maskload_ps(from, lanes(mask)));  // no two segments have a lane in common
  }
  static void store_lanes(float* to, std::uint16_t mask, Vector value) { _mm256_maskstore_ps(to, lanes(mask), value); }
};

// Sixteen registers: up to twelve sums, a value and the loads.
constexpr BlockRow BLOCKS[] = {block_row<One, 1, 2>(2, 10),     block_row<Eight, 1, 2>(2, 12),   block_row<Eight, 2, 2>(2.5f, 14),
                               block_row<Eight, 4, 2>(3.5f, 18), block_row<Eight, 6, 2>(5, 22), block_row<Eight, 8, 1>(6, 26),
                               block_row<Eight, 12, 1>(8, 34)};

constexpr PanelRow PANELS[] = {panel_row<Eight, 1, 8>(8), panel_row<Eight, 2, 4>(11), panel_row<Eight, 3, 4>(15)};

template <class Look>
struct PanelValues {
  Look look;
  explicit PanelValues(const float* values) : look(values) {}
  __m256 operator()(const std::uint8_t* codes, std::size_t, std::size_t) const {
    return look(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes))));
  }
};
constexpr WinogradKernels WINOGRAD = winograd_kernels<Eight, PanelValues<Look32>, PanelValues<Look256>, 6, 2>({0.6f, 3, 5, 3});

constexpr unsigned ROWS = 16;
constexpr unsigned SLOTS = 2;
constexpr unsigned PLACES = ROWS * SLOTS;
constexpr unsigned TABLE = 16;  // entries of a shuffle's table
constexpr std::size_t AHEAD = 4096;  // bytes that a prefetch runs ahead: 1 K to 8 K measured, flat from 3 K on

std::size_t pitch(std::size_t columns) { return (columns + 2 * TABLE + 31) / 32 * 32; }

std::size_t prepared_bytes(std::size_t columns) { return 4 * pitch(columns); }

constexpr std::uint32_t EXPONENT = 0x7F800000;  // all ones in NaN and the infinities alone

// Four planes: byte p of every float, least significant first.
bool prepare(const float* x, std::size_t stride, std::size_t columns, std::uint8_t* prepared) {
  const std::size_t plane = pitch(columns);
  const __m256i exponent = _mm256_set1_epi32(EXPONENT);
  __m256i bad = _mm256_setzero_si256();
  bool finite = true;
  std::size_t k = 0;
  if (stride == 1) {
    const __m256i by_byte = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,  //
                                             0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m256i by_plane = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (; k + 8 <= columns; k += 8) {
      const __m256i eight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + k));
      bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(_mm256_and_si256(eight, exponent), exponent));
      const __m256i planes = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(eight, by_byte), by_plane);
      const __m128i low = _mm256_castsi256_si128(planes), high = _mm256_extracti128_si256(planes, 1);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(prepared + k), low);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(prepared + plane + k), _mm_unpackhi_epi64(low, low));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(prepared + 2 * plane + k), high);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(prepared + 3 * plane + k), _mm_unpackhi_epi64(high, high));
    }
  }
  for (; k < plane; ++k) {
    std::uint32_t bits = 0;
    if (k < columns) __builtin_memcpy(&bits, x + k * stride, sizeof bits);
    finite = finite && (bits & EXPONENT) != EXPONENT;
    for (unsigned p = 0; p < 4; ++p) prepared[p * plane + k] = static_cast<std::uint8_t>(bits >> (8 * p));
  }
  return finite && _mm256_testz_si256(bad, bad) != 0;
}

__m256i table(const std::uint8_t* bytes) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}

// The bytes at `index` of one or two tables of 16, which lie side by side. A shuffle gives 0 where bit 7 is set: for the first table
// the addition sets it where the index is 16 or more, for the second the subtraction where it is less.
template <unsigned TABLES>
__m256i look_up(const __m256i* tables, __m256i index) {
  if (TABLES == 1) return _mm256_shuffle_epi8(tables[0], index);
  const __m256i first = _mm256_add_epi8(index, _mm256_set1_epi8(0x80 - TABLE));
  const __m256i second = _mm256_sub_epi8(index, _mm256_set1_epi8(TABLE));
  return _mm256_or_si256(_mm256_shuffle_epi8(tables[0], first), _mm256_shuffle_epi8(tables[1], second));
}

struct Floats {
  __m256 vector[4];
};

// Four planes of 32 bytes become 32 floats; `place` is where each of them comes from.
Floats interleave(const __m256i* plane) {
  const __m256i low01 = _mm256_unpacklo_epi8(plane[0], plane[1]), high01 = _mm256_unpackhi_epi8(plane[0], plane[1]);
  const __m256i low23 = _mm256_unpacklo_epi8(plane[2], plane[3]), high23 = _mm256_unpackhi_epi8(plane[2], plane[3]);
  return {{_mm256_castsi256_ps(_mm256_unpacklo_epi16(low01, low23)), _mm256_castsi256_ps(_mm256_unpackhi_epi16(low01, low23)),
           _mm256_castsi256_ps(_mm256_unpacklo_epi16(high01, high23)),
           _mm256_castsi256_ps(_mm256_unpackhi_epi16(high01, high23))}};
}

// Vector v of `interleave` holds bytes 4 v .. 4 v + 3 of both halves. Vectors 0 and 1 are slot 0 of the sixteen rows, 2 and 3 slot 1.
unsigned place(unsigned row, unsigned slot) {
  const unsigned vector = 2 * slot + row / 8;
  return row % 8 / 4 * 16 + 4 * vector + row % 4;
}

unsigned index_at(const std::uint8_t* group, unsigned row, unsigned slot) { return group[place(row, slot)]; }

struct Nibbles {
  static constexpr unsigned BITS = 4;
  static void put(std::uint8_t* group, unsigned row, unsigned slot, unsigned index, unsigned code) {
    const unsigned at = place(row, slot);
    group[at] = static_cast<std::uint8_t>(index);
    std::uint8_t& pair = group[PLACES + at % 16];
    pair = static_cast<std::uint8_t>(pair | code << (at < 16 ? 0 : 4));
  }
  static unsigned code(const std::uint8_t* group, unsigned row, unsigned slot) {
    const unsigned at = place(row, slot);
    return group[PLACES + at % 16] >> (at < 16 ? 0 : 4) & 15;
  }
};

struct Bytes {
  static constexpr unsigned BITS = 8;
  static void put(std::uint8_t* group, unsigned row, unsigned slot, unsigned index, unsigned code) {
    group[place(row, slot)] = static_cast<std::uint8_t>(index);
    group[PLACES + place(row, slot)] = static_cast<std::uint8_t>(code);
  }
  static unsigned code(const std::uint8_t* group, unsigned row, unsigned slot) { return group[PLACES + place(row, slot)]; }
};

template <unsigned CODE_BITS>
__m256i codes_at(const std::uint8_t* codes) {
  if (CODE_BITS == 8) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
  const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  const __m128i nibble = _mm_set1_epi8(15);
  return _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(pairs, 4), nibble), _mm_and_si128(pairs, nibble));
}

template <unsigned WINDOW_TABLES, unsigned CODE_BITS>
void window_dot(const WindowStrips& strips, const std::uint8_t* prepared, std::size_t pitch, float* sums) {
  constexpr unsigned CODE_TABLES = CODE_BITS == 4 ? 1 : 2;
  constexpr std::size_t GROUP = PLACES + PLACES * CODE_BITS / 8;
  const std::size_t plane = pitch / 4;
  __m256i codebook[4][CODE_TABLES];
  for (unsigned t = 0; t < CODE_TABLES; ++t) {
    std::uint8_t planes[4][TABLE];
    for (unsigned i = 0; i < TABLE; ++i) {
      std::uint32_t bits;
      __builtin_memcpy(&bits, strips.codebook + t * TABLE + i, sizeof bits);
      for (unsigned p = 0; p < 4; ++p) planes[p][i] = static_cast<std::uint8_t>(bits >> (8 * p));
    }
    for (unsigned p = 0; p < 4; ++p) codebook[p][t] = table(planes[p]);
  }
  const std::uint8_t* group = strips.groups;
  const std::uint16_t* step = strips.steps;
  for (std::size_t strip = 0; strip < strips.strips; ++strip) {
    const std::uint16_t* const end = step + (strips.ends[strip] - strips.ends[static_cast<std::ptrdiff_t>(strip) - 1]);
    const std::uint8_t* base = prepared;
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    for (; step != end; ++step, group += GROUP) {
      _mm_prefetch(reinterpret_cast<const char*>(group) + AHEAD, _MM_HINT_T0);
      base += *step;
      const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(group));
      const __m256i code = codes_at<CODE_BITS>(group + PLACES);
      __m256i x[4], value[4];
      for (unsigned p = 0; p < 4; ++p) {
        __m256i window[WINDOW_TABLES];
        for (unsigned t = 0; t < WINDOW_TABLES; ++t) window[t] = table(base + p * plane + t * TABLE);
        x[p] = look_up<WINDOW_TABLES>(window, index);
        value[p] = look_up<CODE_TABLES>(codebook[p], code);
      }
      const Floats activations = interleave(x), weights = interleave(value);
      for (unsigned v = 0; v < 4; ++v) sum[v] = _mm256_fmadd_ps(activations.vector[v], weights.vector[v], sum[v]);
    }
    _mm256_storeu_ps(sums + strip * ROWS, _mm256_add_ps(sum[0], sum[2]));
    _mm256_storeu_ps(sums + strip * ROWS + 8, _mm256_add_ps(sum[1], sum[3]));
  }
}

template <unsigned WINDOW_TABLES, class Codes>
constexpr WindowRow window_row(float cost) {
  return {{ROWS, SLOTS, WINDOW_TABLES * TABLE, 1, Codes::BITS == 4 ? 15u : 31u, PLACES + PLACES * Codes::BITS / 8, cost, Codes::put,
           index_at, Codes::code},
          {prepared_bytes, prepare},
          {window_dot<WINDOW_TABLES, Codes::BITS>, nullptr, nullptr},
          cost};
}

constexpr WindowRow WINDOWS[] = {window_row<1, Nibbles>(14), window_row<2, Nibbles>(18), window_row<1, Bytes>(18),
                                 window_row<2, Bytes>(21)};

bool supported() { return cpu_has(Feature::AVX2) && cpu_has(Feature::FMA); }

}  // namespace

extern const Variant AVX2;
const Variant AVX2 = {"avx2", supported, WINDOWS, sizeof WINDOWS / sizeof *WINDOWS, BLOCKS, sizeof BLOCKS / sizeof *BLOCKS,
                      PANELS, sizeof PANELS / sizeof *PANELS,
                      Eight::LANES, transpose, copy_runs<Eight>, tap_sums<Eight>, lane_taps<Eight, false>, finish_sums<Eight>, store_channels<Eight>, gate_kernels<8>(),
                      {expand_eights<Look32>, expand_eights<Look256>}, FLOAT_ROWS<Eight, 16>, &WINOGRAD};

}  // namespace sparsebook::kernels
