// Version 2 of the payload: levels, frequencies, and what a SegmentReader makes of the segments. Whole payloads are in tests/golden and
// tests/malformed, which the Python suite has this decoder read.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "decode/contexts.h"
#include "decode/crc32.h"
#include "decode/dense.h"
#include "decode/error.h"
#include "decode/payload.h"
#include "decode/symbols.h"
#include "payload_builder.h"

using namespace sparsebook::decode;

namespace {

// A weight of one axis, plain mask of share 2048, one centroid: a bit an element, and nothing for codes.
builder::Bytes payload_of(const std::vector<bool>& nonzero) {
  builder::Bytes bytes = {'S', 'B', 'K', 'P', 2, 1, 1, 2, 1, 0, 1, 2, 0, 0, 1, 0};
  builder::put(bytes, nonzero.size(), 8);
  builder::put(bytes, nonzero.size(), 4);
  builder::put(bytes, 0x3F800000, 4);
  builder::append(bytes, {0, 1, 0, 1, 1, 1, 0, 0, 72, 80});
  builder::Bytes segments;
  for (std::size_t first = 0; first < nonzero.size(); first += CONTEXT_SEGMENT) {
    const std::size_t length = std::min<std::size_t>(CONTEXT_SEGMENT, nonzero.size() - first);
    const std::size_t lanes = lanes_of(length);
    const std::size_t steps = (length + lanes - 1) / lanes;
    std::vector<std::uint32_t> state(lanes, 1u << STATE_BITS);
    std::vector<std::uint16_t> words;  // the last first
    for (std::size_t step = steps; step-- > 0;) {
      for (std::size_t lane = lanes; lane-- > 0;) {
        const std::size_t at = lane * steps + step;
        if (at >= length) continue;
        std::uint32_t& x = state[lane];
        if (x >> 20 >= 2048) {
          words.push_back(static_cast<std::uint16_t>(x));
          x >>= 16;
        }
        x = x / 2048 * 4096 + (nonzero[first + at] ? 0 : 2048) + x % 2048;
      }
    }
    builder::put(bytes, 4 * lanes + 2 * words.size(), 4);
    for (const std::uint32_t x : state) builder::put(segments, x, 4);
    for (std::size_t i = words.size(); i-- > 0;) builder::put(segments, words[i], 2);
  }
  builder::append(bytes, segments);
  builder::put(bytes, crc32(bytes.data(), bytes.size()), 4);
  return bytes;
}

void check_round_trip(std::size_t elements, unsigned every) {
  std::vector<bool> nonzero(elements);
  std::uint32_t random = 1;
  for (std::size_t i = 0; i < elements; ++i) {
    random = random * 1664525u + 1013904223u;
    nonzero[i] = (random >> 16) % every == 0;
  }
  const builder::Bytes bytes = payload_of(nonzero);
  const Payload payload = parse(bytes.data(), bytes.size());
  std::vector<float> values(elements);
  decode_dense(payload, values.data());
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < elements; ++i) {
    CHECK((values[i] == 1.0f) == nonzero[i]);
    count += nonzero[i];
  }
  CHECK(count_nonzeros(payload) == count);
}

std::string rule(builder::Bytes bytes) {
  bytes.resize(bytes.size() - 4);
  builder::put(bytes, crc32(bytes.data(), bytes.size()), 4);
  try {
    validate(bytes.data(), bytes.size());
  } catch (const PayloadError& error) {
    return error.id();
  }
  return "";
}

void test_round_trips() {
  for (const std::size_t elements : {1u, 2u, 1000u, 16383u, 16384u, 16385u, 65535u, 65536u, 65537u, 200000u}) {
    check_round_trip(elements, 2);
    check_round_trip(elements, 1);
    // Gaps over 255, across segments too.
    check_round_trip(elements, 1000);
    check_round_trip(elements, 60000);
  }
}

void test_levels() {
  CHECK(mask_share(1) == 1 && mask_share(7) == 7 && mask_share(8) == 8 && mask_share(16) == 16 && mask_share(17) == 18);
  CHECK(mask_share(72) == 2048 && mask_share(73) == 4096 - 1920 && mask_share(143) == 4095);
}

void test_frequencies() {
  const std::uint8_t levels[] = {0x20, 0, 8};  // weights 64, none, 8: 1 + 3639 and 1 + 454, and one more for the first
  const CodeTable table(levels, 3);
  CHECK(table.entry(0) == (0u << 24 | 3640u << 12 | 0u));
  CHECK(table.entry(3640) == (0u << 24 | 3640u << 12 | 3640u));
  CHECK(table.entry(3641) == (2u << 24 | 454u << 12 | 0u));
  CHECK(table.entry(4095) == (2u << 24 | 454u << 12 | 454u));
}

// Every bit of a segment of one lane, flipped: refused, or decoded to other elements, and nothing out of bounds is read.
void test_flipped_bits() {
  const builder::Bytes bytes = payload_of(std::vector<bool>(300, true));
  for (std::size_t bit = 8 * 24; bit < 8 * (bytes.size() - 4); ++bit) {
    builder::Bytes changed = bytes;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    rule(changed);
  }
  builder::Bytes shorter = bytes;
  shorter.erase(shorter.end() - 6, shorter.end() - 4);
  CHECK(rule(shorter) == "truncated");
}

}  // namespace

int main() {
  test_round_trips();
  test_levels();
  test_frequencies();
  test_flipped_bits();
  return check::finish();
}
