// Every variant's rows against the weight they stand for, at the edges of its vectors, with narrow codes and wide ones, in buffers that
// end where the forbidden begins.
#include "kernels/row_table.h"

#include <cstring>

#include "check.h"
#include "guarded.h"
#include "kernels/variants.h"
#include "sparse_sample.h"

using namespace sparsebook::kernels;

namespace {

// One row, straight from the kernel: it may read EXPAND_SLACK bytes behind the codes and not a byte more, and writes the row alone.
void check_kernel(ExpandKernel kernel, std::size_t width, double density, unsigned centroids, std::mt19937& random) {
  const SparseSample weight(1, width, density, random, centroids);
  const std::size_t mask_bytes = (width + 7) / 8;
  const std::size_t bytes = mask_bytes + weight.code.size() + EXPAND_SLACK;
  const Guarded memory((bytes + 3) / 4), y(width), low(width, true), codebook(256);
  std::memcpy(codebook.get(), weight.codebook.data(), 256 * sizeof(float));
  auto* const mask = reinterpret_cast<std::uint8_t*>(memory.get()) + (bytes + 3) / 4 * 4 - bytes;
  std::memset(mask, 0, bytes);
  for (const std::uint32_t column : weight.column) mask[column / 8] |= static_cast<std::uint8_t>(1u << column % 8);
  std::copy(weight.code.begin(), weight.code.end(), mask + mask_bytes);
  std::memset(mask + mask_bytes + weight.code.size(), 0xFF, EXPAND_SLACK);  // what is there must not matter
  const std::vector<double> dense = weight.dense();
  for (const Guarded* out : {&y, &low}) {
    kernel({mask, mask + mask_bytes, width, codebook.get()}, out->get());
    bool equal = true;
    for (std::size_t i = 0; i < width; ++i) equal = equal && static_cast<double>((*out)[i]) == dense[i];
    CHECK(equal);
  }
}

template <class Index>
void check_table(const Variant& variant, const SparseSample& weight, std::mt19937& random) {
  RowTable table(variant, weight.rows, weight.columns, weight.code.size(), weight.codebook.data(), weight.centroids);
  for (std::size_t r = 0; r < weight.rows; ++r) {
    for (std::uint64_t i = weight.start[r]; i < weight.start[r + 1]; ++i) table.append(r, weight.column[i], weight.code[i]);
  }
  table.finish();
  CHECK(table.rows() == weight.rows && table.width() == weight.columns);
  const auto rows = static_cast<Index>(weight.rows);
  std::vector<Index> indices;
  for (Index r = 0; r < rows; ++r) indices.push_back(r);
  for (std::size_t i = 0; i < 2 * weight.rows; ++i) indices.push_back(static_cast<Index>(random() % (2 * weight.rows)) - rows);
  const Guarded y(indices.size() * weight.columns);
  table.gather(indices.data(), indices.size(), Serial(), y.get());
  const std::vector<double> dense = weight.dense();
  bool equal = true;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const auto row = static_cast<std::size_t>(indices[i] < 0 ? indices[i] + rows : indices[i]);
    for (std::size_t c = 0; c < weight.columns; ++c) {
      equal = equal && static_cast<double>(y[i * weight.columns + c]) == dense[row * weight.columns + c];
    }
  }
  CHECK(equal);
  table.gather(indices.data(), 0, Serial(), y.get());
  // What the layout is for.
  const double bits = 8.0 * static_cast<double>(table.bytes() - weight.rows * sizeof(std::uint64_t) - EXPAND_SLACK);
  CHECK(bits == static_cast<double>(8 * weight.code.size() + weight.rows * ((weight.columns + 7) / 8 * 8)));
}

void check_variant(const Variant& variant, std::mt19937& random) {
  for (const std::size_t width : {1u, 2u, 7u, 8u, 9u, 15u, 16u, 17u, 23u, 24u, 25u, 31u, 32u, 33u, 63u, 64u, 65u, 384u, 1001u}) {
    for (const double density : {0.0, 0.05, 0.35, 1.0}) {
      for (const unsigned centroids : {1u, 7u, 8u, 15u, 16u, 31u}) {
        check_kernel(variant.expand.narrow, width, density, centroids, random);
        check_kernel(variant.expand.wide, width, density, centroids, random);
      }
      check_kernel(variant.expand.wide, width, density, 32, random);
      check_kernel(variant.expand.wide, width, density, 255, random);
    }
  }
  for (const unsigned centroids : {15u, 31u, 32u, 255u}) {
    for (const double density : {0.0, 0.02, 0.4, 1.0}) {
      check_table<std::int32_t>(variant, SparseSample(60, 35, density, random, centroids), random);
      check_table<std::int64_t>(variant, SparseSample(9, 3000, density, random, centroids), random);
      check_table<std::int64_t>(variant, SparseSample(900, 1, density, random, centroids), random);
      check_table<std::int32_t>(variant, SparseSample(1, 16, density, random, centroids), random);
    }
  }
}

}  // namespace

int main() {
  for (const Variant* variant : runnable_variants()) {
    std::mt19937 random(3);
    const int before = check::failures;
    check_variant(*variant, random);
    std::printf("%s: %s\n", variant->name, check::failures == before ? "as it should be" : "FAILED");
  }
  return check::finish();
}
