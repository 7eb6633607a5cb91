// A weight for many activations at once, as batches and convolutions have them: its non-zeros (block_layout.h) or, where few elements are
// zero, all of its codes (code_layout.h), whichever costs less.
#pragma once

#include <cstddef>
#include <variant>

#include "kernels/block_layout.h"
#include "kernels/code_layout.h"
#include "kernels/sparse_matrix.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

/// How many activations lie side by side, and what passes over them.
struct WideTile {
  std::size_t width = 0;
  double cost = 0;  ///< of all tiles, in the variant's unit
  const BlockRow* block = nullptr;
  const PanelRow* panel = nullptr;
};

/// Tiles side by side: `count` of one width, then one of another, or of width 0 where nothing is left.
struct Tiling {
  WideTile tile;
  std::size_t count = 0;
  WideTile last;
  double cost = 0;  ///< of all of them, in the variant's unit
  [[nodiscard]] std::size_t tiles() const { return count + (last.width == 0 ? 0 : 1); }
  [[nodiscard]] const WideTile& of(std::size_t index) const { return index < count ? tile : last; }
};

enum class WideForm { BLOCKS, CODES };

/// The form in which a typical number of activations cost less.
[[nodiscard]] WideForm cheaper_form(const Variant& variant, const SparseMatrix& weight, std::size_t block_columns);

/// Columns come in blocks, of which each needs its activations laid out: laid_out_columns() times a tile's width floats, zeros behind those of
/// its columns. Rows come in groups of BLOCK_GROUP.
class WideLayout {
 public:
  /// Blocks of `block_columns` columns, or of as many as the form allows.
  WideLayout(const Variant& variant, const SparseMatrix& weight, std::size_t block_columns, WideForm form);

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }
  [[nodiscard]] std::size_t block_columns() const { return block_columns_; }
  [[nodiscard]] std::size_t blocks() const { return (columns_ + block_columns_ - 1) / block_columns_; }
  [[nodiscard]] std::size_t laid_out_columns() const { return block_columns_ + (is_sparse() ? 1 : 0); }
  [[nodiscard]] std::size_t row_groups() const { return (rows_ + BLOCK_GROUP - 1) / BLOCK_GROUP; }
  /// Rows that sums take: those of a last panel that the weight does not have, too.
  [[nodiscard]] std::size_t sum_rows(std::size_t rows) const { return (rows + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS; }
  [[nodiscard]] std::size_t bytes() const;
  /// Whether it holds non-zeros, and not all codes.
  [[nodiscard]] bool is_sparse() const { return std::holds_alternative<BlockLayout>(form_); }
  /// All codes; null where it holds non-zeros.
  [[nodiscard]] const CodeLayout* codes() const { return std::get_if<CodeLayout>(&form_); }
  /// "block" or "codes".
  [[nodiscard]] const char* form() const { return is_sparse() ? "block" : "codes"; }

  /// The tile by which this many activations cost least. `laid_out`: columns that have to be laid out for every tile.
  [[nodiscard]] WideTile cheapest_tile(std::size_t activations, std::size_t laid_out) const;

  /// The tiles by which this many activations cost least. `laid_out`: as above.
  [[nodiscard]] Tiling cheapest_tiling(std::size_t activations, std::size_t laid_out) const;

  /// Adds one block's products to the sums of the row groups in [begin, end): y[row * width + i] for rows counted from the first of them.
  /// The first block's are where sums begin. A layout of codes fetches the columns ahead meanwhile.
  /// The block's columns lie side by side at `input.x`, unless this holds codes and `input.at` says where each begins.
  void accumulate(const WideTile& tile, std::size_t block, std::size_t begin, std::size_t end, const float* codebook,
                  const PanelInput& input, const ColumnsAhead& ahead, float* y) const;

 private:
  const Variant* variant_;
  std::size_t rows_;
  std::size_t columns_;
  std::variant<BlockLayout, CodeLayout> form_;
  std::size_t block_columns_;
};

/// The cheapest tile of so many entries in the form of blocks, and of a weight of this shape in the form of codes; for the choice between them.
[[nodiscard]] WideTile cheapest_block_tile(const Variant& variant, std::size_t activations, std::uint64_t entries,
                                           std::uint64_t block_rows, std::size_t laid_out);
[[nodiscard]] WideTile cheapest_panel_tile(const Variant& variant, std::size_t activations, std::size_t rows, std::size_t columns,
                                           std::size_t laid_out);

}  // namespace sparsebook::kernels
