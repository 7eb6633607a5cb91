#include "op/fingerprint.h"

#include <random>

#include "decode/bytes.h"

namespace sparsebook::op {
namespace {

constexpr unsigned COMPRESSION_ROUNDS = 2;
constexpr unsigned FINAL_ROUNDS = 4;

std::uint64_t rotated(std::uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

struct State {
  std::uint64_t a, b, c, d;

  void rounds(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      a += b;
      c += d;
      b = rotated(b, 13) ^ a;
      d = rotated(d, 16) ^ c;
      a = rotated(a, 32) + d;
      c += b;
      d = rotated(d, 21) ^ a;
      b = rotated(b, 17) ^ c;
      c = rotated(c, 32);
    }
  }
  void absorb(std::uint64_t word) {
    d ^= word;
    rounds(COMPRESSION_ROUNDS);
    a ^= word;
  }
  [[nodiscard]] std::uint64_t squeezed() {
    rounds(FINAL_ROUNDS);
    return a ^ b ^ c ^ d;
  }
};

Fingerprint random_key() {
  std::random_device random;
  Fingerprint key{};
  for (std::uint64_t& word : key) word = std::uint64_t{random()} << 32 | random();
  return key;
}

}  // namespace

Fingerprint siphash(const Fingerprint& key, const std::uint8_t* bytes, std::size_t size) {
  State state = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee, key[0] ^ 0x6c7967656e657261,
                 key[1] ^ 0x7465646279746573};
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) state.absorb(decode::load_u64(bytes + at));
  std::uint64_t last = std::uint64_t{size} << 56;
  for (unsigned i = 0; at + i < size; ++i) last |= std::uint64_t{bytes[at + i]} << (8 * i);
  state.absorb(last);
  state.c ^= 0xee;
  const std::uint64_t first = state.squeezed();
  state.b ^= 0xdd;
  return {first, state.squeezed()};
}

Fingerprint fingerprint(const std::uint8_t* bytes, std::size_t size) {
  static const Fingerprint key = random_key();
  return siphash(key, bytes, size);
}

}  // namespace sparsebook::op
