// Unaligned little-endian and bit-order reads. The callers prove that the bytes are there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sparsebook::decode {

inline std::uint16_t load_u16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] | p[1] << 8);
}

inline std::uint32_t load_u32(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
         static_cast<std::uint32_t>(p[2]) << 16 | static_cast<std::uint32_t>(p[3]) << 24;
}

inline std::uint64_t load_u64(const std::uint8_t* p) {
  return static_cast<std::uint64_t>(load_u32(p)) | static_cast<std::uint64_t>(load_u32(p + 4)) << 32;
}

/// Eight bytes with the first one in the most significant place: the order in which bit streams are filled.
inline std::uint64_t load_bits(const std::uint8_t* p) {
  std::uint64_t word = 0;
  std::memcpy(&word, p, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return word;
#else
  return __builtin_bswap64(word);
#endif
}

/// The stream from bit `position` on, its first bit in the most significant place; at least 57 bits are valid.
/// Reads the eight bytes from `position / 8` on.
inline std::uint64_t peek_bits(const std::uint8_t* stream, std::size_t position) {
  return load_bits(stream + (position >> 3)) << (position & 7);
}

}  // namespace sparsebook::decode
