#include "kernels/code_layout.h"

namespace sparsebook::kernels {

CodeLayout::CodeLayout(const SparseMatrix& weight)
    : rows_(weight.rows), columns_(weight.columns), codes_(panels() * PANEL_ROWS * columns_) {
  for (std::size_t row = 0; row < rows_; ++row) {
    std::uint8_t* const panel = codes_.data() + row / PANEL_ROWS * PANEL_ROWS * columns_ + row % PANEL_ROWS;
    for (std::uint64_t at = weight.start[row]; at < weight.start[row + 1]; ++at) {
      panel[std::size_t{weight.column[at]} * PANEL_ROWS] = weight.code[at];
    }
  }
}

void CodeLayout::accumulate(const PanelRow& tile, std::size_t first, std::size_t count, std::size_t begin, std::size_t end,
                            const float* codebook, const float* x, float* y) const {
  for (std::size_t panel = begin; panel < end; ++panel, y += PANEL_ROWS * tile.width) {
    tile.kernel(codes_.data() + (panel * columns_ + first) * PANEL_ROWS, count, codebook, x, y);
  }
}

}  // namespace sparsebook::kernels
