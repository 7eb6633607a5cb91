#include "kernels/wide_layout.h"

#include <algorithm>

namespace sparsebook::kernels {
namespace {

constexpr double COPY = 3;               // of sixteen floats of a column that is laid out
constexpr std::size_t TYPICAL = 64;      // activations for which the form is chosen
constexpr std::size_t CODE_BLOCK = 128;  // columns: 24 KB of the first cache for a tile of 48

double copies(std::size_t laid_out, unsigned width) { return COPY * static_cast<double>(laid_out) * ((width + 15) / 16); }

std::variant<BlockLayout, CodeLayout> chosen_form(const Variant& variant, const SparseMatrix& weight, std::size_t block_columns) {
  const std::uint64_t block_rows = std::uint64_t{(weight.columns + block_columns - 1) / block_columns} * weight.rows;
  const double sparse = cheapest_block_tile(variant, TYPICAL, weight.nonzeros() + block_rows / 2, block_rows, 0).cost;
  const double dense = cheapest_panel_tile(variant, TYPICAL, weight.rows, weight.columns, 0).cost;
  if (sparse <= dense) return BlockLayout(weight, block_columns);
  return CodeLayout(weight);
}

}  // namespace

WideTile cheapest_block_tile(const Variant& variant, std::size_t activations, std::uint64_t entries, std::uint64_t block_rows,
                             std::size_t laid_out) {
  WideTile best;
  for (std::size_t i = 0; i < variant.block_count; ++i) {
    const BlockRow& tile = variant.blocks[i];
    const std::size_t tiles = (activations + tile.width - 1) / tile.width;
    const double once = static_cast<double>(entries) * static_cast<double>(tile.cost) +
                        static_cast<double>(block_rows) * static_cast<double>(tile.row_cost) + copies(laid_out, tile.width);
    if (best.block == nullptr || static_cast<double>(tiles) * once < best.cost) {
      best = {tile.width, static_cast<double>(tiles) * once, &tile, nullptr};
    }
  }
  return best;
}

WideTile cheapest_panel_tile(const Variant& variant, std::size_t activations, std::size_t rows, std::size_t columns,
                             std::size_t laid_out) {
  const std::size_t panels = (rows + PANEL_ROWS - 1) / PANEL_ROWS;
  WideTile best;
  for (std::size_t i = 0; i < variant.panel_count; ++i) {
    const PanelRow& tile = variant.panels[i];
    const std::size_t tiles = (activations + tile.width - 1) / tile.width;
    const double once = static_cast<double>(panels) * static_cast<double>(columns) * static_cast<double>(tile.cost) +
                        copies(laid_out, tile.width);
    if (best.panel == nullptr || static_cast<double>(tiles) * once < best.cost) {
      best = {tile.width, static_cast<double>(tiles) * once, nullptr, &tile};
    }
  }
  return best;
}

WideLayout::WideLayout(const Variant& variant, const SparseMatrix& weight, std::size_t block_columns)
    : variant_(&variant),
      rows_(weight.rows),
      columns_(weight.columns),
      form_(chosen_form(variant, weight, block_columns)),
      block_columns_(is_sparse() ? std::get<BlockLayout>(form_).block_columns() : CODE_BLOCK) {}

std::size_t WideLayout::bytes() const {
  return std::visit([](const auto& form) { return form.bytes(); }, form_);
}

WideTile WideLayout::cheapest_tile(std::size_t activations, std::size_t laid_out) const {
  if (!is_sparse()) return cheapest_panel_tile(*variant_, activations, rows_, columns_, laid_out);
  return cheapest_block_tile(*variant_, activations, std::get<BlockLayout>(form_).entries(), std::uint64_t{blocks()} * rows_, laid_out);
}

void WideLayout::accumulate(const WideTile& tile, std::size_t block, std::size_t begin, std::size_t end, const float* codebook,
                            const float* x, float* y) const {
  if (is_sparse()) {
    std::get<BlockLayout>(form_).accumulate(*tile.block, block, begin, end, codebook, x, y);
    return;
  }
  const CodeLayout& codes = std::get<CodeLayout>(form_);
  constexpr std::size_t GROUP_PANELS = BLOCK_GROUP / PANEL_ROWS;
  const std::size_t first = block * block_columns_;
  codes.accumulate(*tile.panel, first, std::min(block_columns_, columns_ - first), begin * GROUP_PANELS,
                   std::min(end * GROUP_PANELS, codes.panels()), codebook, x, y);
}

}  // namespace sparsebook::kernels
