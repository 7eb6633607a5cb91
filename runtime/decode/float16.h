// IEEE 754 half precision to single; every half is exact in single precision.
#pragma once

#include <cstdint>
#include <cstring>

namespace sparsebook::decode {

inline float float_from_bits(std::uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float float_from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 31u;
  const std::uint32_t fraction = half & 0x3FFu;
  if (exponent == 31) return float_from_bits(sign | 0x7F800000u | fraction << 13);
  if (exponent != 0) return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);  // bias 127 instead of 15
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;                            // zero and subnormals
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace sparsebook::decode
