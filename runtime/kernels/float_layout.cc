#include "kernels/float_layout.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace sparsebook::kernels {
namespace {

constexpr std::size_t WIDEST = FLOAT_WIDTHS[FLOAT_WIDTH_COUNT - 1];
// As of windows (window_layout.cc): what is larger comes from memory, where fewer bytes are faster.
constexpr std::size_t CACHED_BYTES = std::size_t{1} << 20;
// Cycles of a vector of MOST_LANES from a second cache, and of every further row of activations, which finds it at hand; measured for 1 to 24 rows
// on AVX-512.
constexpr double VECTOR = 1.6;
constexpr double FURTHER_ROW = 0.55;
// What the first is counted as against windows. A model may have evicted the weight since its last run, and then a vector takes 11, where windows, of a
// third to a half of the bytes, take what they compute. At this count floats are taken from about 60% of the elements on: there they
// are three to four times as fast as windows in the cache, and at most a half slower out of it.
constexpr double EITHER_WAY = 4;

std::size_t vectors_of(const Variant& variant, std::size_t rows) { return (rows + variant.lanes - 1) / variant.lanes; }

}  // namespace

bool FloatLayout::fits(const Variant& variant, std::size_t rows, std::size_t columns) {
  const std::size_t vector_bytes = variant.lanes * sizeof(float);
  return columns == 0 || vectors_of(variant, rows) <= CACHED_BYTES / vector_bytes / columns;
}

bool FloatLayout::beats(const Variant& variant, std::size_t rows, std::size_t columns, double other) {
  return fits(variant, rows, columns) && EITHER_WAY * cost(variant, rows, columns, 1) < other;
}

double FloatLayout::cost(const Variant& variant, std::size_t rows, std::size_t columns, std::size_t activations) {
  const double products = static_cast<double>(vectors_of(variant, rows)) * static_cast<double>(columns);
  // Of vectors of fewer lanes, each has fewer bytes to wait for.
  const double lanes = static_cast<double>(variant.lanes) / MOST_LANES;
  return products * (VECTOR * lanes + FURTHER_ROW * static_cast<double>(activations - 1));
}

FloatLayout::FloatLayout(const Variant& variant, const SparseMatrix& weight)
    : variant_(&variant), rows_(weight.rows), columns_(weight.columns), strips_(0), floats_(vectors() * variant.lanes * columns_) {
  std::size_t left = vectors() % WIDEST;
  strips_ = vectors() / WIDEST;
  for (unsigned i = FLOAT_WIDTH_COUNT - 1; i-- > 0; left %= FLOAT_WIDTHS[i]) strips_ += left / FLOAT_WIDTHS[i];
  for (std::size_t row = 0; row < rows_; ++row) {
    for (std::uint64_t i = weight.start[row]; i < weight.start[row + 1]; ++i) {
      floats_[static_cast<std::size_t>(at(row, weight.column[i]) - floats_.data())] = weight.codebook[weight.code[i]];
    }
  }
}

std::size_t FloatLayout::first_row(std::size_t strip) const {
  const std::size_t whole = vectors() / WIDEST;
  std::size_t row = std::min(strip, whole) * WIDEST;
  for (std::size_t i = whole; i < strip; ++i) row += width(i);
  return row * variant_->lanes;
}

// In vectors. Behind the widest strips come at most one of each narrower width, wider ones first.
unsigned FloatLayout::width(std::size_t strip) const {
  const std::size_t whole = vectors() / WIDEST;
  if (strip < whole) return WIDEST;
  std::size_t left = vectors() % WIDEST, index = strip - whole;
  for (unsigned i = FLOAT_WIDTH_COUNT - 1; i-- > 0; left %= FLOAT_WIDTHS[i]) {
    if (left < FLOAT_WIDTHS[i]) continue;
    if (index-- == 0) return FLOAT_WIDTHS[i];
  }
  return 0;
}

const float* FloatLayout::at(std::size_t row, std::size_t column) const {
  const std::size_t vector = row / variant_->lanes, whole = vectors() / WIDEST;
  std::size_t strip = std::min(vector / WIDEST, whole);
  while (strip + 1 < strips_ && first_row(strip + 1) <= row) ++strip;
  const std::size_t first = first_row(strip);
  return floats_.data() + first * columns_ + column * width(strip) * variant_->lanes + (row - first);
}

std::size_t FloatLayout::dot(std::size_t strip, const float* x, std::size_t row_stride, std::size_t column_stride, std::size_t activations,
                             float* sums) const {
  const unsigned vectors = width(strip);
  const FloatRow* row = variant_->floats;
  while (row->vectors != vectors) ++row;
  unsigned batch = FLOAT_BATCH_COUNT - 1;
  while (row->kernel[batch] == nullptr || FLOAT_BATCHES[batch] > activations) --batch;
  row->kernel[batch]({floats_.data() + first_row(strip) * columns_, columns_, x, row_stride, column_stride}, sums);
  return FLOAT_BATCHES[batch];
}

OwnedMatrix FloatLayout::unpacked(const float* codebook, unsigned centroids) const {
  std::vector<std::pair<std::uint32_t, std::uint8_t>> codes;
  const auto bits_of = [](float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  };
  for (unsigned code = 1; code <= centroids; ++code) codes.emplace_back(bits_of(codebook[code]), static_cast<std::uint8_t>(code));
  std::sort(codes.begin(), codes.end());
  OwnedMatrix matrix;
  matrix.columns = columns_;
  matrix.start.push_back(0);
  for (std::size_t row = 0; row < rows_; ++row) {
    for (std::size_t column = 0; column < columns_; ++column) {
      const float value = *at(row, column);
      if (value == 0) continue;
      matrix.column.push_back(static_cast<std::uint32_t>(column));
      matrix.code.push_back(std::lower_bound(codes.begin(), codes.end(), std::pair{bits_of(value), std::uint8_t{0}})->second);
    }
    matrix.start.push_back(matrix.column.size());
  }
  return matrix;
}

}  // namespace sparsebook::kernels
