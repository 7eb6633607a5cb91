#include <vector>

#include "check.h"
#include "decode/crc32.h"

using sparsebook::decode::crc32;

namespace {

// The definition, bit by bit.
std::uint32_t reference(const std::vector<std::uint8_t>& bytes) {
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

}  // namespace

int main() {
  const std::vector<std::uint8_t> digits = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  CHECK(crc32(digits.data(), digits.size()) == 0xCBF43926u);  // the check value that is published with the polynomial
  std::vector<std::uint8_t> bytes;
  CHECK(crc32(bytes.data(), 0) == 0);
  for (unsigned size = 1; size < 70; ++size) {
    bytes.push_back(static_cast<std::uint8_t>(size * 37 + 11));
    CHECK(crc32(bytes.data(), bytes.size()) == reference(bytes));
  }
  return check::finish();
}
