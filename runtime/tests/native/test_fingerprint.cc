// SipHash-2-4-128 against vectors of its reference code: key 00..0f, input 00, 01, ... of each length.
#include "check.h"
#include "op/fingerprint.h"

using sparsebook::op::Fingerprint;

int main() {
  const Fingerprint key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::uint8_t input[64];
  for (unsigned i = 0; i < 64; ++i) input[i] = static_cast<std::uint8_t>(i);
  const auto hash = [&](std::size_t size) { return sparsebook::op::siphash(key, input, size); };
  // Bytes a3 81 7f 04 ba 25 a8 e6 6d f6 72 14 c7 55 02 93, and da 87 c1 d8 6b 99 af 44 34 76 59 11 9b 22 fc 45.
  CHECK((hash(0) == Fingerprint{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  CHECK((hash(1) == Fingerprint{0x44af996bd8c187da, 0x45fc229b11597634}));
  CHECK(hash(15) != hash(16) && hash(63) != hash(64));
  CHECK(sparsebook::op::fingerprint(input, 64) == sparsebook::op::fingerprint(input, 64));
  CHECK(sparsebook::op::fingerprint(input, 64) != hash(64));
  return check::finish();
}
