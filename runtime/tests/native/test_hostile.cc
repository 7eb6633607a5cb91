// Random damage under a right checksum: a payload is refused or decoded, and nothing out of bounds is touched. Buffers end where
// the payload ends, so that the sanitizer build sees any slip.
#include <memory>
#include <random>

#include "check.h"
#include "decode/dense.h"
#include "decode/rows.h"
#include "payload_builder.h"

using namespace sparsebook::decode;
using builder::Bytes;

namespace {

int accepted = 0;
int refused = 0;

void decode_all_ways(const Bytes& bytes) {
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), copy.get());
  const Payload payload = parse(copy.get(), bytes.size());
  // What a consumer expects bounds what is allocated.
  if (payload.elements > 100000 || payload.elements == 0) return;
  const std::unique_ptr<float[]> values(new float[payload.elements]);
  decode_dense(payload, values.get());
  (void)decode_rows(payload, payload.elements, 1, Orientation::AS_STORED);
  (void)decode_rows(payload, 1, payload.elements, Orientation::TRANSPOSED);
}

void damage(const Bytes& payload, std::mt19937& random) {
  const Bytes damaged = builder::changed(payload, [&](Bytes& body) {
    const unsigned times = 1 + random() % 3;
    for (unsigned i = 0; i < times; ++i) {
      // The header and the sections behind it half of the time: damage to a stream is the less interesting one.
      const std::size_t reach = random() % 2 == 0 ? std::min<std::size_t>(body.size(), 90) : body.size();
      body[random() % reach] = static_cast<std::uint8_t>(random() % 2 == 0 ? random() : 1u << random() % 8);
    }
  });
  if (check::payload_error([&] { decode_all_ways(damaged); }).empty()) {
    ++accepted;
  } else {
    ++refused;
  }
}

}  // namespace

int main() {
  std::mt19937 random(7);
  builder::SampleOptions options[4];
  options[1].dense = true;
  options[2].huffman = false;
  options[3].density = 0.02;
  options[3].gap_bits = 8;
  for (const auto& option : options) {
    for (const std::uint32_t columns : {7u, 700u, 5000u}) {
      const Bytes payload = builder::sample({5, columns}, option, columns).payload.bytes();
      for (int i = 0; i < 400; ++i) damage(payload, random);
    }
  }
  std::printf("%d accepted, %d refused\n", accepted, refused);
  CHECK(accepted > 100);
  CHECK(refused > 1000);
  return check::finish();
}
