#include "kernels/row_table.h"

#include <algorithm>

namespace sparsebook::kernels {
namespace {

constexpr std::uint64_t LINE = 64;
constexpr std::uint64_t MOST_LINES = 8;  // of a row that are asked for ahead; from there on the processor knows the way

}  // namespace

RowTable::RowTable(const Variant& variant, std::uint64_t rows, std::uint64_t width, std::uint64_t nonzeros, const float* codebook,
                   unsigned centroids)
    : kernel_(centroids < 1u << NARROW_CODE ? variant.expand.narrow : variant.expand.wide),
      rows_(rows),
      width_(width),
      mask_bytes_((width + 7) / 8) {
  std::copy_n(codebook, codebook_.size(), codebook_.begin());
  starts_.reserve(static_cast<std::size_t>(rows));
  bytes_.resize(static_cast<std::size_t>(rows * mask_bytes_ + nonzeros + EXPAND_SLACK));
}

void RowTable::open(std::uint64_t rows) {
  for (; starts_.size() < rows; next_ += mask_bytes_) starts_.push_back(next_);
}

void RowTable::prefetch(std::uint64_t row) const {
  const std::uint64_t begin = starts_[row];
  const std::uint64_t end = std::min(row + 1 < rows_ ? starts_[row + 1] : next_, begin + MOST_LINES * LINE);
  for (std::uint64_t at = begin; at < end; at += LINE) __builtin_prefetch(bytes_.data() + at);
}

void RowTable::expand(std::uint64_t row, float* y) const {
  const std::uint8_t* const mask = bytes_.data() + starts_[row];
  kernel_({mask, mask + mask_bytes_, static_cast<std::size_t>(width_), codebook_.data()}, y);
}

}  // namespace sparsebook::kernels
