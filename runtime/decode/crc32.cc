#include "decode/crc32.h"

#include <array>

#include "decode/bytes.h"

namespace sparsebook::decode {
namespace {

using Table = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[k][b] is the checksum's change by byte b followed by k zero bytes, so that eight look-ups take eight bytes at once.
constexpr Table make_tables() {
  Table tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320u : 0u);
    tables[0][byte] = value;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t previous = tables[k - 1][byte];
      tables[k][byte] = (previous >> 8) ^ tables[0][previous & 0xFF];
    }
  }
  return tables;
}

constexpr Table TABLES = make_tables();

}  // namespace

std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size) {
  std::uint32_t crc = 0xFFFFFFFFu;
  for (; size >= 8; bytes += 8, size -= 8) {
    const std::uint32_t low = crc ^ load_u32(bytes);
    const std::uint32_t high = load_u32(bytes + 4);
    crc = TABLES[7][low & 0xFF] ^ TABLES[6][(low >> 8) & 0xFF] ^ TABLES[5][(low >> 16) & 0xFF] ^ TABLES[4][low >> 24] ^
          TABLES[3][high & 0xFF] ^ TABLES[2][(high >> 8) & 0xFF] ^ TABLES[1][(high >> 16) & 0xFF] ^ TABLES[0][high >> 24];
  }
  for (; size != 0; ++bytes, --size) crc = (crc >> 8) ^ TABLES[0][(crc ^ *bytes) & 0xFF];
  return ~crc;
}

}  // namespace sparsebook::decode
