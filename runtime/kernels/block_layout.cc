#include "kernels/block_layout.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace sparsebook::kernels {
namespace {

constexpr unsigned ENTRY_BITS = 16;

}  // namespace

BlockLayout::BlockLayout(const SparseMatrix& weight, std::size_t block_columns)
    : rows_(weight.rows),
      columns_(weight.columns),
      narrow_(weight.centroids < 1u << NARROW_CODE),
      // The highest column is that of the zeros.
      block_columns_(std::min(block_columns, (std::size_t{1} << (ENTRY_BITS - (narrow_ ? NARROW_CODE : WIDE_CODE))) - 1)),
      blocks_((columns_ + block_columns_ - 1) / block_columns_),
      row_groups_((rows_ + BLOCK_GROUP - 1) / BLOCK_GROUP) {
  const unsigned code_bits = narrow_ ? NARROW_CODE : WIDE_CODE;
  entries_.reserve(weight.nonzeros() + blocks_ * rows_ / 2);
  pairs_.reserve(blocks_ * rows_);
  order_.reserve(blocks_ * rows_ + 1);
  starts_.reserve(blocks_ * row_groups_ + 1);
  std::vector<std::uint64_t> next(weight.start, weight.start + rows_);
  for (std::size_t block = 0; block < blocks_; ++block) {
    const std::uint64_t first_column = block * block_columns_;
    for (std::size_t first = 0; first < rows_; first += BLOCK_GROUP) {
      const std::size_t height = std::min<std::size_t>(BLOCK_GROUP, rows_ - first);
      std::array<std::uint64_t, BLOCK_GROUP> end{};
      std::array<std::uint8_t, BLOCK_GROUP> order{};
      std::iota(order.begin(), order.begin() + height, std::uint8_t{0});
      for (std::size_t r = 0; r < height; ++r) {
        const std::uint32_t* const column = weight.column;
        end[r] = static_cast<std::uint64_t>(
            std::lower_bound(column + next[first + r], column + weight.start[first + r + 1], first_column + block_columns_) - column);
      }
      const auto pairs = [&](std::uint8_t r) { return (end[r] - next[first + r] + 1) / PAIR; };
      std::stable_sort(order.begin(), order.begin() + height, [&](std::uint8_t a, std::uint8_t b) { return pairs(a) < pairs(b); });
      starts_.push_back(entries_.size());
      for (std::size_t i = 0; i < height; ++i) {
        const std::uint8_t r = order[i];
        order_.push_back(r);
        pairs_.push_back(static_cast<std::uint16_t>(pairs(r)));
        const std::size_t whole = entries_.size() + PAIR * pairs(r);
        for (std::uint64_t& at = next[first + r]; at < end[r]; ++at) {
          entries_.push_back(static_cast<std::uint16_t>((weight.column[at] - first_column) << code_bits | weight.code[at]));
        }
        if (entries_.size() != whole) entries_.push_back(static_cast<std::uint16_t>(block_columns_ << code_bits));
      }
    }
  }
  starts_.push_back(entries_.size());
  order_.push_back(0);  // a kernel looks at the row after the last one
}

std::size_t BlockLayout::bytes() const {
  return bytes_of(entries_) + starts_.size() * sizeof(std::uint64_t) + pairs_.size() * sizeof(std::uint16_t) +
         order_.size();
}

void BlockLayout::accumulate(const BlockRow& tile, std::size_t block, std::size_t begin, std::size_t end, const float* codebook,
                             const float* x, float* y) const {
  const BlockKernel kernel = narrow_ ? tile.narrow : tile.wide;
  for (std::size_t group = begin; group < end; ++group) {
    const std::size_t at = block * rows_ + group * BLOCK_GROUP;
    const std::size_t height = std::min<std::size_t>(BLOCK_GROUP, rows_ - group * BLOCK_GROUP);
    const BlockRows rows = {entries_.data() + starts_[block * row_groups_ + group], pairs_.data() + at, order_.data() + at, height,
                            codebook};
    kernel(rows, x, block == 0, y + (group - begin) * BLOCK_GROUP * tile.width);
  }
}

}  // namespace sparsebook::kernels
