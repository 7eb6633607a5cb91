// x86-64 with AVX-512 VBMI and VBMI2 (Ice Lake and Zen 4 on): bytes are looked up in windows of 128.
//
// A float is four bytes; byte p of all activations is plane p. One `vpermi2b` finds a plane's byte for 64 places at once, so that a
// window is four times as wide as that of a permute of floats, and sparse weights leave fewer places empty.
#include "kernels/variants/avx512_expand.h"

namespace sparsebook::kernels {
namespace {

constexpr unsigned ROWS = 16;
constexpr unsigned SLOTS = 4;
constexpr unsigned PLACES = ROWS * SLOTS;
constexpr unsigned WINDOW = 128;
constexpr unsigned ALIGN = 1;

// ---- activations in four planes

std::size_t pitch_of(std::size_t columns) { return (columns + WINDOW + 63) / 64 * 64; }

std::size_t plane_bytes(std::size_t columns) { return 4 * pitch_of(columns); }

bool split_planes(const float* x, std::size_t stride, std::size_t columns, std::uint8_t* prepared) {
  const std::size_t pitch = pitch_of(columns);
  __mmask16 bad = 0;
  for (std::size_t k = 0; k < pitch; k += 16) {
    __m512 value = _mm512_setzero_ps();
    if (k < columns) {
      const std::size_t left = columns - k;
      const __mmask16 there = left >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1u << left) - 1);
      if (stride == 1) {
        value = _mm512_maskz_loadu_ps(there, x + k);
      } else {
        float some[16] = {};
        for (std::size_t i = 0; i < 16 && i < left; ++i) some[i] = x[(k + i) * stride];
        value = _mm512_loadu_ps(some);
      }
    }
    bad = static_cast<__mmask16>(bad | _mm512_fpclass_ps_mask(value, 0x99));  // NaN, infinities
    const Words words = reinterpret_cast<Words>(value);
    for (unsigned p = 0; p < 4; ++p) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(prepared + p * pitch + k), _mm512_cvtepi32_epi8(bits(words >> (8 * p))));
    }
  }
  return bad == 0;
}

// ---- places: byte 4 row + slot, so that a slot is a byte of every row's word

constexpr unsigned place(unsigned row, unsigned slot) { return SLOTS * row + slot; }

// A byte holds a code of five bits and the upper three of the column's; the lower four are nibbles of half as many bytes.
struct Fives {
  static constexpr unsigned CENTROIDS = 31;
  static constexpr unsigned BYTES = PLACES + PLACES / 2;
  static void put(std::uint8_t* group, unsigned row, unsigned slot, unsigned index, unsigned code) {
    const unsigned at = place(row, slot);
    group[at] = static_cast<std::uint8_t>(code | index >> 4 << 5);
    std::uint8_t& pair = group[PLACES + at % 32];
    pair = static_cast<std::uint8_t>(pair | (index & 15) << (at / 32 * 4));
  }
  static unsigned index(const std::uint8_t* group, unsigned row, unsigned slot) {
    const unsigned at = place(row, slot);
    return (group[PLACES + at % 32] >> (at / 32 * 4) & 15u) | group[at] >> 5 << 4;
  }
  static unsigned code(const std::uint8_t* group, unsigned row, unsigned slot) { return group[place(row, slot)] & 31; }
};

struct Bytes {
  static constexpr unsigned CENTROIDS = 255;
  static constexpr unsigned BYTES = 2 * PLACES;
  static void put(std::uint8_t* group, unsigned row, unsigned slot, unsigned index, unsigned code) {
    group[place(row, slot)] = static_cast<std::uint8_t>(index);
    group[PLACES + place(row, slot)] = static_cast<std::uint8_t>(code);
  }
  static unsigned index(const std::uint8_t* group, unsigned row, unsigned slot) { return group[place(row, slot)]; }
  static unsigned code(const std::uint8_t* group, unsigned row, unsigned slot) { return group[PLACES + place(row, slot)]; }
};

// ---- look-ups of a group's 64 places

struct Slots {
  __m512 slot[SLOTS];
};

__m512i blend(std::uint32_t mask, __m512i where_set, __m512i elsewhere) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi32(static_cast<int>(mask)), where_set, elsewhere, 0xCA);
}

// The floats of 64 places, slot by slot, from their four planes of bytes: find(p, index) are plane p's bytes at the indices.
//
// Every plane is asked for its bytes in another order within each word, so that a blend or a funnel shift brings each of two planes' bytes
// side by side: 14 operations on two ports, where four stages of unpacking would be 8 on the one port that the permutes need.
template <class Find>
Slots floats_at(__m512i index, const Find& find) {
  const __m512i swapped = _mm512_shldi_epi16(index, index, 8);                            // slots 1 0 3 2
  const __m512i a = find(0, index), b = find(1, swapped);
  const __m512i c = find(2, _mm512_shldi_epi32(index, index, 16)), d = find(3, _mm512_shldi_epi32(swapped, swapped, 16));  // slots 2 3 0 1 and 3 2 1 0
  const __m512i ab02 = blend(0x00FF00FF, a, b), ab13 = _mm512_shrdi_epi16(a, b, 8);
  const __m512i cd20 = blend(0x00FF00FF, c, d), cd31 = _mm512_shrdi_epi16(c, d, 8);
  return {{_mm512_castsi512_ps(blend(0x0000FFFF, ab02, cd20)), _mm512_castsi512_ps(blend(0x0000FFFF, ab13, cd31)),
           _mm512_castsi512_ps(_mm512_shrdi_epi32(ab02, cd20, 16)), _mm512_castsi512_ps(_mm512_shrdi_epi32(ab13, cd31, 16))}};
}

struct Window128 {
  std::size_t plane;
  SPARSEBOOK_INLINE Slots operator()(const std::uint8_t* base, __m512i index) const {
    return floats_at(index, [&](unsigned p, __m512i at) {
      const std::uint8_t* from = base + p * plane;
      return _mm512_permutex2var_epi8(_mm512_loadu_si512(from), at, _mm512_loadu_si512(from + 64));
    });
  }
};

// ---- the kernels

struct ByteLookup {
  static constexpr std::size_t STEP_BYTES = ALIGN, FLOATS = ROWS;
  struct Sums {
    __m512 of[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    SPARSEBOOK_INLINE void add(const Slots& x, const Slots& value) {
      for (unsigned s = 0; s < SLOTS; ++s) of[s % 2] = _mm512_fmadd_ps(x.slot[s], value.slot[s], of[s % 2]);
    }
  };
  static void store(const Sums& sums, float* to) { _mm512_storeu_ps(to, _mm512_add_ps(sums.of[0], sums.of[1])); }
};

struct FivesLookup : ByteLookup, Fives {
  using Fives::BYTES;
  Window128 window;
  __m512 low, high;
  FivesLookup(const float* codebook, std::size_t plane)
      : window{plane}, low(_mm512_loadu_ps(codebook)), high(_mm512_loadu_ps(codebook + 16)) {}
  SPARSEBOOK_INLINE void add(const std::uint8_t* group, const std::uint8_t* base, Sums& sums) const {
    const __m512i words = _mm512_loadu_si512(group);
    // The nibbles twice over, the upper ones of every byte for the upper half of the places.
    const __m512i nibbles = _mm512_srlv_epi64(_mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(group + PLACES))),
                                              _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4));
    // A permute ignores the bit above the index's seven, which is another place's.
    const __m512i index = blend(0x0F0F0F0F, nibbles, _mm512_srli_epi32(words, 1));
    Slots value;
    for (unsigned s = 0; s < SLOTS; ++s) value.slot[s] = _mm512_permutex2var_ps(low, _mm512_srli_epi32(words, 8 * s), high);
    sums.add(window(base, index), value);
  }
};

// The codebook in planes too: two tables of 128 bytes each.
struct BytesLookup : ByteLookup, Bytes {
  using Bytes::BYTES;
  Window128 window;
  __m512i table[4][4];
  BytesLookup(const float* codebook, std::size_t plane) : window{plane} {
    for (unsigned p = 0; p < 4; ++p) {
      for (unsigned t = 0; t < 4; ++t) {
        std::uint8_t bytes[64];
        for (unsigned i = 0; i < 64; ++i) __builtin_memcpy(bytes + i, reinterpret_cast<const char*>(codebook + 64 * t + i) + p, 1);
        table[p][t] = _mm512_loadu_si512(bytes);
      }
    }
  }
  SPARSEBOOK_INLINE void add(const std::uint8_t* group, const std::uint8_t* base, Sums& sums) const {
    const Slots value = floats_at(_mm512_loadu_si512(group + PLACES), [&](unsigned p, __m512i code) {
      return _mm512_mask_blend_epi8(_mm512_movepi8_mask(code), _mm512_permutex2var_epi8(table[p][0], code, table[p][1]),
                                    _mm512_permutex2var_epi8(table[p][2], code, table[p][3]));
    });
    sums.add(window(base, _mm512_loadu_si512(group)), value);
  }
};

template <class Lookup, std::size_t STRANDS>
void byte_window(const WindowStrips& strips, const std::uint8_t* prepared, std::size_t pitch, float* sums) {
  walk_windows<STRANDS>(Lookup(strips.codebook, pitch / 4), strips, prepared, sums);
}

template <class Lookup, std::size_t STRANDS>
constexpr WindowRow byte_row(float cost) {
  return {{ROWS, SLOTS, WINDOW, ALIGN, Lookup::CENTROIDS, Lookup::BYTES, cost, Lookup::put, Lookup::index, Lookup::code},
          {plane_bytes, split_planes},
          {byte_window<Lookup, STRANDS>, nullptr, nullptr},
          cost};
}

constexpr WindowRow WINDOWS[] = {WORDS_16_4, WORDS_32_5, WORDS_64_4, byte_row<FivesLookup, 4>(19), byte_row<BytesLookup, 1>(31)};

bool supported() {
  return cpu_has(Feature::AVX512F) && cpu_has(Feature::AVX512BW) && cpu_has(Feature::AVX512DQ) && cpu_has(Feature::AVX512VL) &&
         cpu_has(Feature::AVX512_VBMI) && cpu_has(Feature::AVX512_VBMI2);
}

}  // namespace

extern const Variant AVX512_VBMI;
const Variant AVX512_VBMI = {"avx512-vbmi", supported, WINDOWS, sizeof WINDOWS / sizeof *WINDOWS, BLOCKS, BLOCK_COUNT, PANELS, PANEL_COUNT,
                             Sixteen::LANES, transpose_sixteens, copy_runs<Sixteen>, tap_sums<Sixteen>, lane_taps<Sixteen, true>, finish_sums<Sixteen>, store_channels<Sixteen>, gate_kernels<16>(), EXPAND, FLOAT_ROWS<Sixteen, 32>, &WINOGRAD};

}  // namespace sparsebook::kernels
