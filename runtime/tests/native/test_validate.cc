// Every rule of docs/format.md, section 5, broken on its own.
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "check.h"
#include "decode/payload.h"
#include "payload_builder.h"

using builder::Bytes;

namespace {

// Validates a copy that ends where the payload ends, so that the sanitizers see any read behind it.
std::string verdict(const Bytes& payload) {
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[payload.size()]);
  std::copy(payload.begin(), payload.end(), copy.get());
  return check::payload_error([&] { sparsebook::decode::validate(copy.get(), payload.size()); });
}

// Sets one byte of a payload and seals it again.
std::string with_byte(const Bytes& payload, std::size_t offset, unsigned value) {
  return verdict(builder::changed(payload, [&](Bytes& body) { body[offset] = static_cast<std::uint8_t>(value); }));
}

const Bytes& good() {
  static const Bytes bytes = builder::sample({40, 50}, {}, 1).payload.bytes();
  return bytes;
}

const Bytes& good_dense() {
  static const Bytes bytes = [] {
    builder::SampleOptions options;
    options.dense = true;
    return builder::sample({40, 50}, options, 1).payload.bytes();
  }();
  return bytes;
}

void header() {
  CHECK(verdict(good()).empty());
  CHECK(verdict(good_dense()).empty());
  const std::pair<std::size_t, const char*> fields[] = {{0, "magic"}, {3, "magic"},  {4, "version"}, {5, "dtype"},
                                                        {6, "rank"},  {7, "layout"}, {8, "bits"},    {9, "gap-bits"},
                                                        {10, "codebook-dtype"}, {11, "codec"}, {12, "codec"},
                                                        {13, "reserved"}};
  for (const auto& [offset, id] : fields) CHECK(with_byte(good(), offset, 99) == id);
  CHECK(with_byte(good(), 8, 0) == "bits");
  CHECK(with_byte(good(), 9, 0) == "gap-bits");
  CHECK(with_byte(good_dense(), 9, 4) == "gap-bits");
  CHECK(with_byte(good_dense(), 12, 1) == "codec");
  CHECK(with_byte(good(), 14, 8) == "centroids");  // 3 bits
  CHECK(with_byte(good(), 23, 1) == "symbols");
  CHECK(with_byte(good_dense(), 24, 41) == "symbols");
  for (const unsigned dtype : {1u, 10u, 11u, 16u}) CHECK(with_byte(good(), 5, dtype).empty());
  for (const std::size_t dimension : {24u, 28u}) {  // 0xFFFF0028 x 50, 40 x 0xFFFF0032
    CHECK(verdict(builder::changed(good(), [&](Bytes& body) { body[dimension + 2] = body[dimension + 3] = 255; })) == "elements");
  }
}

void elements() {
  builder::Payload payload = builder::sample({1}, {}, 3).payload;
  payload.codes = payload.gaps = {};
  const std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  payload.shape = {1u << 18, 1u << 18};
  CHECK(verdict(payload.bytes()).empty());  // exactly 2^36, all zero
  payload.shape = {1u << 18, 1u << 18, 2};
  CHECK(verdict(payload.bytes()) == "elements");
  payload.shape.assign(8, most);  // 2^256 must not come round to something small
  CHECK(verdict(payload.bytes()) == "elements");
  payload.shape.assign(8, most);
  payload.shape[7] = 0;
  CHECK(verdict(payload.bytes()).empty());
}

void cut_and_extended() {
  for (const Bytes& payload : {good(), good_dense()}) {
    for (std::size_t size = 0; size < payload.size(); ++size) {
      CHECK(verdict(Bytes(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(size))) == "truncated");
    }
    Bytes longer = payload;
    longer.push_back(0);
    CHECK(verdict(longer) == "trailing");
    Bytes damaged = payload;
    damaged.back() ^= 1;
    CHECK(verdict(damaged) == "checksum");
  }
}

void sections() {
  builder::Payload payload = builder::sample({40, 50}, {}, 1).payload;
  builder::Payload changed = payload;
  changed.codes.lengths[0] = 2;  // over-full
  CHECK(verdict(changed.bytes()) == "code-lengths");
  changed = payload;
  changed.gaps.lengths.back() = 0;  // incomplete
  CHECK(verdict(changed.bytes()) == "code-lengths");
  for (const float value : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    changed = payload;
    changed.codebook[6] = value;
    CHECK(verdict(changed.bytes()) == "codebook");
  }
  // The stored segment size of the codes stands behind 8 + 16 nibbles of lengths.
  const std::size_t sizes = 24 + 8 + 4 * 7 + 4 + 8;
  CHECK(verdict(builder::changed(payload.bytes(), [&](Bytes& b) { b[sizes] = b[sizes + 1] = 0; })) == "segment-size");
  CHECK(verdict(builder::changed(payload.bytes(), [&](Bytes& b) { b[sizes] = 1, b[sizes + 1] = 24; })) == "segment-size");
  CHECK(verdict(builder::changed(payload.bytes(), [&](Bytes& b) { b[sizes] = 0, b[sizes + 1] = 24; })) == "truncated");
  CHECK(verdict(builder::changed(payload.bytes(), [&](Bytes& b) { --b[sizes]; })) == "trailing");
  // One byte moved from the gaps' segment to the codes': nothing is missing, but neither ends where it should.
  CHECK(verdict(builder::changed(payload.bytes(), [&](Bytes& b) { ++b[sizes], --b[sizes + 2]; })) == "stream");
}

void streams() {
  builder::SampleOptions options;
  options.huffman = false;
  builder::Payload fixed = builder::sample({41, 50}, options, 2).payload;
  CHECK(verdict(fixed.bytes()).empty());
  builder::Payload changed = fixed;
  changed.codebook.resize(4);
  CHECK(verdict(changed.bytes()) == "code-range");
  changed = fixed;
  changed.gaps.symbols.assign(changed.gaps.symbols.size(), 15);
  CHECK(verdict(changed.bytes()) == "position");
  // With both violated, and the position first in the payload, the page's order decides.
  changed.codebook.resize(4);
  CHECK(verdict(changed.bytes()) == "code-range");

  builder::Payload odd = builder::sample({3}, options, 2).payload;
  odd.codes.symbols = {1, 2, 3};  // nine bits: seven of the last byte are unused
  odd.gaps.symbols = {0, 0, 0};
  CHECK(verdict(odd.bytes()).empty());
  CHECK(verdict(builder::changed(odd.bytes(), [](Bytes& body) { body[body.size() - 3] |= 1; })) == "stream");
}

// Streams that take no bytes: the number of symbols is bounded by nothing but the elements.
void constant_streams() {
  builder::Payload payload;
  payload.codebook = {1, 2, 3};
  payload.shape = {1u << 18, 1u << 18};
  payload.codes.lengths = {1, 0, 0, 0};
  payload.gaps.lengths.assign(16, 0);
  payload.gaps.lengths[15] = 1;
  const auto declared = [&](std::uint64_t symbols) {
    return builder::changed(payload.bytes(), [&](Bytes& body) {
      for (unsigned i = 0; i < 8; ++i) body[16 + i] = static_cast<std::uint8_t>(symbols >> 8 * i);
    });
  };
  payload.codes.symbols = {0};
  const std::uint64_t most = std::uint64_t{1} << 32;  // each moves on by sixteen
  CHECK(verdict(declared(most)).empty());
  CHECK(verdict(declared(most + 1)) == "position");
  CHECK(verdict(declared((std::uint64_t{1} << 36) + 1)) == "symbols");
}

void no_symbols() {
  builder::Payload payload;
  payload.shape = {5, 0};
  CHECK(verdict(payload.bytes()).empty());
  CHECK(with_byte(payload.bytes(), 11, 1) == "codec");
  CHECK(with_byte(payload.bytes(), 12, 1) == "codec");
  payload.shape = {5, 7};
  CHECK(verdict(payload.bytes()).empty());  // all zero
  payload.layout = payload.gap_bits = 0;
  CHECK(verdict(payload.bytes()) == "symbols");
}

}  // namespace

int main() {
  header();
  elements();
  cut_and_extended();
  sections();
  streams();
  constant_streams();
  no_symbols();
  return check::finish();
}
