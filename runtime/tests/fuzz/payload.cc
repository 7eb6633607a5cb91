// libFuzzer: any bytes are a payload. They are refused, or decoded in every way, laid out and multiplied, and nothing out of bounds is
// touched. The checksum is made right first, since nobody would guess one; every eighth input keeps its own.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "decode/bytes.h"
#include "decode/crc32.h"
#include "decode/dense.h"
#include "decode/error.h"
#include "decode/payload.h"
#include "decode/rows.h"
#include "kernels/matmul.h"
#include "kernels/variants.h"

namespace {

using namespace sparsebook;

constexpr std::uint64_t MOST_ELEMENTS = 1 << 16;  // what a consumer expects bounds what is allocated

void multiply(const decode::Rows& rows, unsigned centroids, const kernels::Variant& variant) {
  const kernels::SparseMatrix matrix = {static_cast<std::size_t>(rows.rows), static_cast<std::size_t>(rows.columns), rows.start.data(),
                                        rows.column.data(), rows.code.data(), rows.codebook.data(), centroids};
  const kernels::Matmul matmul(variant, matrix);
  kernels::Scratch scratch;
  for (const std::size_t batch : {std::size_t{1}, std::size_t{9}}) {
    const std::vector<float> x(batch * rows.columns, 1.0f);
    std::vector<float> y(batch * rows.rows);
    matmul.run({x.data(), batch, matrix.columns, 1}, {}, kernels::Serial(), scratch, y.data());
  }
}

void decode_all_ways(const std::uint8_t* bytes, std::size_t size) {
  decode::validate(bytes, size);
  const decode::Payload payload = decode::parse(bytes, size);
  if (payload.elements == 0 || payload.elements > MOST_ELEMENTS) return;
  std::vector<float> values(static_cast<std::size_t>(payload.elements));
  decode::decode_dense(payload, values.data());
  const std::uint64_t outer = payload.shape.empty() ? 1 : payload.shape.front();
  for (const auto orientation : {decode::Orientation::AS_STORED, decode::Orientation::TRANSPOSED}) {
    const decode::Rows rows = decode::decode_rows(payload, outer, payload.elements / outer, orientation);
    if (payload.centroids == 0) continue;
    for (const kernels::Variant* variant : kernels::runnable_variants()) multiply(rows, payload.centroids, *variant);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool keeps_checksum = data[0] % 8 == 0;
  // Exactly as large as the payload, so that a sanitizer sees any slip.
  const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[size - 1]);
  std::copy(data + 1, data + size, bytes.get());
  const std::size_t length = size - 1;
  if (!keeps_checksum && length >= decode::CHECKSUM_BYTES) {
    const std::uint32_t sum = decode::crc32(bytes.get(), length - decode::CHECKSUM_BYTES);
    for (unsigned i = 0; i < decode::CHECKSUM_BYTES; ++i) {
      bytes[length - decode::CHECKSUM_BYTES + i] = static_cast<std::uint8_t>(sum >> (8 * i));
    }
  }
  try {
    decode_all_ways(bytes.get(), length);
  } catch (const decode::PayloadError&) {
  } catch (const std::length_error&) {
  }
  return 0;
}
