// The layout for many activations at once, as batches and convolutions have them: the non-zeros by blocks of columns, so that the
// activations that a block meets stay in the first cache while all rows pass over them.
//
// A block holds its rows in groups of BLOCK_GROUP (variant.h), within a group by ascending number of entries, which come in pairs: inner
// loops of the same length follow each other, which a processor predicts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/pages.h"
#include "kernels/sparse_matrix.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

class BlockLayout {
 public:
  /// Blocks of `block_columns` columns, or of as many as an entry has bits for.
  BlockLayout(const SparseMatrix& weight, std::size_t block_columns);

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }
  [[nodiscard]] std::size_t block_columns() const { return block_columns_; }
  [[nodiscard]] std::size_t blocks() const { return blocks_; }
  [[nodiscard]] std::size_t row_groups() const { return row_groups_; }
  /// Columns that a block's activations take, the zeros behind them among them.
  [[nodiscard]] std::size_t laid_out_columns() const { return block_columns_ + 1; }
  /// Entries, those that only fill a pair among them.
  [[nodiscard]] std::uint64_t entries() const { return entries_.size(); }

  /// Bytes that the layout takes in memory.
  [[nodiscard]] std::size_t bytes() const;

  /// Adds one block's products to the sums of the row groups in [begin, end): y[row * width + i] for rows counted from the first of
  /// them, from the block's own columns x[column * width + i], and zeros at column block_columns(). The first block's are where sums begin.
  void accumulate(const BlockRow& tile, std::size_t block, std::size_t begin, std::size_t end, const float* codebook,
                  const float* x, float* y) const;

 private:
  std::size_t rows_;
  std::size_t columns_;
  bool narrow_;
  std::size_t block_columns_;
  std::size_t blocks_;
  std::size_t row_groups_;
  Block<std::uint16_t> entries_;
  std::vector<std::uint64_t> starts_;   ///< of every block's every row group in `entries_`, and the end
  std::vector<std::uint16_t> pairs_;    ///< rows_ a block
  std::vector<std::uint8_t> order_;     ///< likewise
};

}  // namespace sparsebook::kernels
