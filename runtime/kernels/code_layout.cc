#include "kernels/code_layout.h"

namespace sparsebook::kernels {
namespace {

// No prefetcher finds columns: they are short, and the next channel's are far away.
void fetch(const ColumnsAhead& ahead, std::size_t begin, std::size_t end) {
  for (std::size_t column = begin; column < end; ++column) {
    const float* const from = ahead.x + ahead.at[column];
    for (std::size_t i = 0; i < ahead.width; i += 16) __builtin_prefetch(from + i);
    __builtin_prefetch(from + ahead.width - 1);
  }
}

}  // namespace

CodeLayout::CodeLayout(const SparseMatrix& weight)
    : rows_(weight.rows), columns_(weight.columns), codes_(panels() * PANEL_ROWS * columns_) {
  for (std::size_t row = 0; row < rows_; ++row) {
    std::uint8_t* const panel = codes_.data() + row / PANEL_ROWS * PANEL_ROWS * columns_ + row % PANEL_ROWS;
    for (std::uint64_t at = weight.start[row]; at < weight.start[row + 1]; ++at) {
      panel[std::size_t{weight.column[at]} * PANEL_ROWS] = weight.code[at];
    }
  }
}

OwnedMatrix CodeLayout::unpacked() const {
  OwnedMatrix matrix;
  matrix.start.push_back(0);
  for (std::size_t row = 0; row < rows_; ++row) {
    const std::uint8_t* const codes = panel(row / PANEL_ROWS) + row % PANEL_ROWS;
    for (std::size_t column = 0; column < columns_; ++column) {
      if (codes[column * PANEL_ROWS] == 0) continue;
      matrix.column.push_back(static_cast<std::uint32_t>(column));
      matrix.code.push_back(codes[column * PANEL_ROWS]);
    }
    matrix.start.push_back(matrix.column.size());
  }
  return matrix;
}

void CodeLayout::accumulate(const PanelRow& tile, std::size_t first, std::size_t count, std::size_t begin, std::size_t end,
                            const float* codebook, const PanelInput& input, bool fresh, const ColumnsAhead& ahead, float* y) const {
  const std::size_t panels = end - begin;
  for (std::size_t p = 0; p < panels; ++p, y += PANEL_ROWS * tile.width) {
    fetch(ahead, ahead.count * p / panels, ahead.count * (p + 1) / panels);
    tile.kernel(codes_.data() + ((begin + p) * columns_ + first) * PANEL_ROWS, count, codebook, input, fresh, y);
  }
}

}  // namespace sparsebook::kernels
