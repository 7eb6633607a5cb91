// x86-64 with AVX-512 VBMI and BMI2 (Ice Lake and Zen 4 on): bytes are looked up in windows of 128.
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
constexpr unsigned ALIGN = 32;

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

// ---- places: 64 bytes of columns, then the codes. Byte unpacks leave four places of a row in one lane of four vectors.

constexpr unsigned place(unsigned row, unsigned slot) { return row / 4 * 16 + 4 * slot + row % 4; }

// Bit 7 of a column's byte is bit 4 of the code, whose other bits are a nibble of the row's 16 bits of codes.
struct Nibbles {
  static constexpr unsigned CENTROIDS = 31;
  static constexpr unsigned BYTES = PLACES + 2 * ROWS;
  static void put(std::uint8_t* group, unsigned row, unsigned slot, unsigned index, unsigned code) {
    group[place(row, slot)] = static_cast<std::uint8_t>(index | code >> 4 << 7);
    std::uint8_t& pair = group[PLACES + 2 * row + slot / 2];
    pair = static_cast<std::uint8_t>(pair | (code & 15) << (slot % 2 * 4));
  }
  static unsigned index(const std::uint8_t* group, unsigned row, unsigned slot) { return group[place(row, slot)] & 127; }
  static unsigned code(const std::uint8_t* group, unsigned row, unsigned slot) {
    return (group[PLACES + 2 * row + slot / 2] >> (slot % 2 * 4) & 15) | group[place(row, slot)] >> 7 << 4;
  }
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

struct Quarters {
  __m512 slot[SLOTS];
};

// Four planes of 64 bytes become 64 floats.
Quarters interleave(const __m512i* plane) {
  const __m512i low01 = _mm512_unpacklo_epi8(plane[0], plane[1]), high01 = _mm512_unpackhi_epi8(plane[0], plane[1]);
  const __m512i low23 = _mm512_unpacklo_epi8(plane[2], plane[3]), high23 = _mm512_unpackhi_epi8(plane[2], plane[3]);
  return {{_mm512_castsi512_ps(_mm512_unpacklo_epi16(low01, low23)), _mm512_castsi512_ps(_mm512_unpackhi_epi16(low01, low23)),
           _mm512_castsi512_ps(_mm512_unpacklo_epi16(high01, high23)),
           _mm512_castsi512_ps(_mm512_unpackhi_epi16(high01, high23))}};
}

Quarters activations(const std::uint8_t* base, std::size_t pitch, __m512i index) {
  __m512i plane[4];
  for (unsigned p = 0; p < 4; ++p) {
    const std::uint8_t* from = base + p * pitch;
    plane[p] = _mm512_permutex2var_epi8(_mm512_loadu_si512(from), index, _mm512_loadu_si512(from + 64));
  }
  return interleave(plane);
}

// Up to 15 centroids: bit 4 is never set.
struct FewNibbles : Nibbles {
  static constexpr unsigned CENTROIDS = 15;
  __m512 values;
  explicit FewNibbles(const float* codebook) : values(_mm512_loadu_ps(codebook)) {}
  Quarters operator()(const std::uint8_t* group, __m512i) const {
    const Words codes =
        reinterpret_cast<Words>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(group + PLACES))));
    Quarters found;
    for (unsigned s = 0; s < SLOTS; ++s) found.slot[s] = _mm512_permutexvar_ps(bits(codes >> (4 * s)), values);
    return found;
  }
};

struct ManyNibbles : Nibbles {
  __m512 low, high;
  explicit ManyNibbles(const float* codebook) : low(_mm512_loadu_ps(codebook)), high(_mm512_loadu_ps(codebook + 16)) {}
  Quarters operator()(const std::uint8_t* group, __m512i index) const {
    const Words codes =
        reinterpret_cast<Words>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(group + PLACES))));
    const std::uint64_t fifth = _mm512_movepi8_mask(index);
    Quarters found;
    for (unsigned s = 0; s < SLOTS; ++s) {
      const auto set = static_cast<__mmask16>(_pext_u64(fifth, 0x000F000F000F000Full << (4 * s)));  // of every row
      const __m512i nibble = bits(codes >> (4 * s) & 15);
      const __m512i code = _mm512_mask_or_epi32(nibble, set, nibble, _mm512_set1_epi32(16));
      found.slot[s] = _mm512_permutex2var_ps(low, code, high);
    }
    return found;
  }
};

// The codebook in planes too: two tables of 128 bytes each.
struct AllBytes : Bytes {
  __m512i table[4][4];
  explicit AllBytes(const float* codebook) {
    for (unsigned p = 0; p < 4; ++p) {
      for (unsigned t = 0; t < 4; ++t) {
        std::uint8_t bytes[64];
        for (unsigned i = 0; i < 64; ++i) __builtin_memcpy(bytes + i, reinterpret_cast<const char*>(codebook + 64 * t + i) + p, 1);
        table[p][t] = _mm512_loadu_si512(bytes);
      }
    }
  }
  Quarters operator()(const std::uint8_t* group, __m512i) const {
    const __m512i code = _mm512_loadu_si512(group + PLACES);
    const __mmask64 upper = _mm512_movepi8_mask(code);
    __m512i plane[4];
    for (unsigned p = 0; p < 4; ++p) {
      plane[p] = _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(table[p][0], code, table[p][1]),
                                        _mm512_permutex2var_epi8(table[p][2], code, table[p][3]));
    }
    return interleave(plane);
  }
};

// ---- the kernel

template <class Values>
void byte_window(const WindowStrips& strips, const std::uint8_t* prepared, std::size_t pitch, float* sums) {
  const Values values(strips.codebook);
  const std::size_t plane = pitch / 4;
  const std::uint8_t* group = strips.groups;
  const std::uint16_t* step = strips.steps;
  for (std::size_t strip = 0; strip < strips.strips; ++strip, sums += ROWS) {
    const std::uint16_t* const end = step + (strips.ends[strip] - strips.ends[static_cast<std::ptrdiff_t>(strip) - 1]);
    const std::uint8_t* base = prepared;
    __m512 sum[SLOTS] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    for (; step != end; ++step, group += Values::BYTES) {
      _mm_prefetch(reinterpret_cast<const char*>(group) + AHEAD, _MM_HINT_T0);
      base += std::size_t{*step} * ALIGN;
      const __m512i index = _mm512_loadu_si512(group);
      const Quarters x = activations(base, plane, index), value = values(group, index);
      for (unsigned s = 0; s < SLOTS; ++s) sum[s] = _mm512_fmadd_ps(x.slot[s], value.slot[s], sum[s]);
    }
    _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
  }
}

template <class Values>
constexpr WindowRow byte_row(float cost) {
  return {{ROWS, SLOTS, WINDOW, ALIGN, Values::CENTROIDS, Values::BYTES, cost, Values::put, Values::index, Values::code},
          {plane_bytes, split_planes},
          {byte_window<Values>, nullptr, nullptr},
          cost};
}

constexpr WindowRow WINDOWS[] = {WORDS_16_4, WORDS_32_5, WORDS_64_4, byte_row<FewNibbles>(17), byte_row<ManyNibbles>(19.5f),
                                 byte_row<AllBytes>(32)};

bool supported() {
  return cpu_has(Feature::AVX512F) && cpu_has(Feature::AVX512BW) && cpu_has(Feature::AVX512DQ) && cpu_has(Feature::AVX512VL) &&
         cpu_has(Feature::AVX512_VBMI) && cpu_has(Feature::BMI2);
}

}  // namespace

extern const Variant AVX512_VBMI;
const Variant AVX512_VBMI = {"avx512-vbmi", supported, WINDOWS, sizeof WINDOWS / sizeof *WINDOWS, BLOCKS, BLOCK_COUNT, PANELS, PANEL_COUNT,
                             Sixteen::LANES, copy_runs<Sixteen>, tap_sums<Sixteen>, finish_sums<Sixteen>, store_channels<Sixteen>, gate_kernels<16>(), EXPAND};

}  // namespace sparsebook::kernels
