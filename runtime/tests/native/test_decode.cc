// Every way to decode against the weight that was written, at the edges of segments and lane groups.
#include <memory>

#include "check.h"
#include "decode/dense.h"
#include "decode/float16.h"
#include "decode/rows.h"
#include "payload_builder.h"

using namespace sparsebook::decode;

namespace {

void check_rows(const Rows& rows, const builder::Sample& sample, std::uint64_t columns, bool transposed) {
  std::uint64_t nonzeros = 0;
  for (const float value : sample.values) nonzeros += value != 0;
  CHECK(rows.column.size() == nonzeros && rows.code.size() == nonzeros);
  CHECK(rows.start.size() == rows.rows + 1 && rows.start.front() == 0 && rows.start.back() == nonzeros);
  bool equal = true;
  bool ascending = true;
  for (std::uint64_t r = 0; r < rows.rows; ++r) {
    for (std::uint64_t i = rows.start[r]; i < rows.start[r + 1]; ++i) {
      const std::uint64_t c = rows.column[i];
      equal = equal && rows.codebook[rows.code[i]] == sample.values[transposed ? c * columns + r : r * columns + c];
      ascending = ascending && (i == rows.start[r] || rows.column[i - 1] < c);
    }
  }
  CHECK(equal);
  CHECK(ascending);
}

void check_sample(const builder::Sample& sample) {
  const builder::Bytes written = sample.payload.bytes();
  const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[written.size()]);
  std::copy(written.begin(), written.end(), bytes.get());
  const Payload payload = parse(bytes.get(), written.size());
  std::vector<float> values(sample.values.size(), -7);
  decode_dense(payload, values.data());
  CHECK(values == sample.values);
  if (payload.elements == 0) return;

  const std::uint64_t outer = payload.shape[0];
  const std::uint64_t inner = payload.elements / outer;
  check_rows(decode_rows(payload, outer, inner, Orientation::AS_STORED), sample, inner, false);
  check_rows(decode_rows(payload, outer, inner, Orientation::TRANSPOSED), sample, inner, true);
}

void check_shapes() {
  // One segment has 4096 symbols and four are decoded together: their edges, in the dense layout one symbol an element.
  for (const std::uint32_t elements : {1u, 2u, 63u, 4095u, 4096u, 4097u, 16383u, 16384u, 16385u, 20480u, 20481u, 40000u}) {
    for (const double density : {0.0, 0.01, 0.5, 1.0}) {
      for (const bool dense : {false, true}) {
        for (const bool huffman : {false, true}) {
          builder::SampleOptions options;
          options.density = density;
          options.dense = dense;
          options.huffman = huffman;
          check_sample(builder::sample({elements}, options, elements));
        }
      }
    }
  }
  for (const auto& shape : {std::vector<std::uint32_t>{1, 1}, {3, 70000}, {70000, 3}, {257, 129}, {6, 3, 5, 5}, {5000, 1}}) {
    check_sample(builder::sample(shape, {}, 5));
  }
}

void check_widths() {
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (unsigned gap_bits = 1; gap_bits <= 8; ++gap_bits) {
      for (const bool huffman : {false, true}) {
        builder::SampleOptions options;
        options.density = 0.05;
        options.huffman = huffman;
        options.bits = bits;
        options.centroids = (1u << bits) - 1;
        options.gap_bits = gap_bits;
        check_sample(builder::sample({31, 257}, options, bits * 10 + gap_bits));
      }
    }
  }
}

void check_constant_streams() {
  builder::Payload payload;
  payload.shape = {3, 4};
  payload.codebook = {2.5f};
  payload.bits = 1;
  payload.codes.lengths = {0, 1};
  payload.codes.symbols.assign(4, 1);
  payload.gaps.lengths.assign(16, 0);
  payload.gaps.lengths[2] = 1;
  payload.gaps.symbols.assign(4, 2);
  builder::Sample sample{payload, std::vector<float>(12, 0.0f)};
  for (std::size_t i = 2; i < 12; i += 3) sample.values[i] = 2.5f;
  check_sample(sample);
}

void check_halves() {
  CHECK(float_from_half(0x3C00) == 1.0f);
  CHECK(float_from_half(0xC000) == -2.0f);
  CHECK(float_from_half(0x7BFF) == 65504.0f);
  CHECK(float_from_half(0x0001) == 0x1p-24f);
  CHECK(float_from_half(0x83FF) == -1023 * 0x1p-24f);
  CHECK(std::signbit(float_from_half(0x8000)) && float_from_half(0x8000) == 0);
  CHECK(std::isinf(float_from_half(0x7C00)) && std::isnan(float_from_half(0x7C01)));
}

}  // namespace

int main() {
  check_shapes();
  check_widths();
  check_constant_streams();
  check_halves();
  return check::finish();
}
