#include "kernels/wide_layout.h"

#include <algorithm>
#include <vector>

namespace sparsebook::kernels {
namespace {

constexpr double COPY = 4;               // of sixteen floats of a column that is laid out
constexpr std::size_t TYPICAL = 64;      // activations for which the form is chosen
constexpr std::size_t CODE_BLOCK = 128;  // columns: 24 KB of the first cache for a tile of 48

double copies(std::size_t laid_out, unsigned width) { return COPY * static_cast<double>(laid_out) * ((width + 15) / 16); }

// Every tile of the form of blocks, with the cost of one.
std::vector<WideTile> block_tiles(const Variant& variant, std::uint64_t entries, std::uint64_t block_rows, std::size_t laid_out) {
  std::vector<WideTile> tiles;
  for (std::size_t i = 0; i < variant.block_count; ++i) {
    const BlockRow& tile = variant.blocks[i];
    const double cost = static_cast<double>(entries) * static_cast<double>(tile.cost) +
                        static_cast<double>(block_rows) * static_cast<double>(tile.row_cost) + copies(laid_out, tile.width);
    tiles.push_back({tile.width, cost, &tile, nullptr});
  }
  return tiles;
}

// Every tile of the form of codes, with the cost of one.
std::vector<WideTile> panel_tiles(const Variant& variant, std::size_t rows, std::size_t columns, std::size_t laid_out) {
  const std::size_t panels = (rows + PANEL_ROWS - 1) / PANEL_ROWS;
  std::vector<WideTile> tiles;
  for (std::size_t i = 0; i < variant.panel_count; ++i) {
    const PanelRow& tile = variant.panels[i];
    const double cost = static_cast<double>(panels) * static_cast<double>(columns) * static_cast<double>(tile.cost) +
                        copies(laid_out, tile.width);
    tiles.push_back({tile.width, cost, nullptr, &tile});
  }
  return tiles;
}

// The tile that costs least where all are of its kind, with the cost of all of them.
WideTile cheapest(const std::vector<WideTile>& tiles, std::size_t activations) {
  WideTile best;
  for (WideTile tile : tiles) {
    tile.cost *= static_cast<double>((activations + tile.width - 1) / tile.width);
    if (best.width == 0 || tile.cost < best.cost) best = tile;
  }
  return best;
}

std::variant<BlockLayout, CodeLayout> laid_out(const SparseMatrix& weight, std::size_t block_columns, WideForm form) {
  if (form == WideForm::BLOCKS) return BlockLayout(weight, block_columns);
  return CodeLayout(weight);
}

}  // namespace

WideTile cheapest_block_tile(const Variant& variant, std::size_t activations, std::uint64_t entries, std::uint64_t block_rows,
                             std::size_t laid_out) {
  return cheapest(block_tiles(variant, entries, block_rows, laid_out), activations);
}

WideTile cheapest_panel_tile(const Variant& variant, std::size_t activations, std::size_t rows, std::size_t columns,
                             std::size_t laid_out) {
  return cheapest(panel_tiles(variant, rows, columns, laid_out), activations);
}

WideForm cheaper_form(const Variant& variant, const SparseMatrix& weight, std::size_t block_columns) {
  const std::uint64_t block_rows = std::uint64_t{(weight.columns + block_columns - 1) / block_columns} * weight.rows;
  const double sparse = cheapest_block_tile(variant, TYPICAL, weight.nonzeros() + block_rows / 2, block_rows, 0).cost;
  const double dense = cheapest_panel_tile(variant, TYPICAL, weight.rows, weight.columns, 0).cost;
  return sparse <= dense ? WideForm::BLOCKS : WideForm::CODES;
}

WideLayout::WideLayout(const Variant& variant, const SparseMatrix& weight, std::size_t block_columns, WideForm form)
    : variant_(&variant),
      rows_(weight.rows),
      columns_(weight.columns),
      form_(laid_out(weight, block_columns, form)),
      block_columns_(is_sparse() ? std::get<BlockLayout>(form_).block_columns() : CODE_BLOCK) {}

std::size_t WideLayout::bytes() const {
  return std::visit([](const auto& form) { return form.bytes(); }, form_);
}

WideTile WideLayout::cheapest_tile(std::size_t activations, std::size_t laid_out) const {
  if (!is_sparse()) return cheapest_panel_tile(*variant_, activations, rows_, columns_, laid_out);
  return cheapest_block_tile(*variant_, activations, std::get<BlockLayout>(form_).entries(), std::uint64_t{blocks()} * rows_, laid_out);
}

Tiling WideLayout::cheapest_tiling(std::size_t activations, std::size_t laid_out) const {
  const std::vector<WideTile> tiles =
      is_sparse() ? block_tiles(*variant_, std::get<BlockLayout>(form_).entries(), std::uint64_t{blocks()} * rows_, laid_out)
                  : panel_tiles(*variant_, rows_, columns_, laid_out);
  Tiling best;
  for (const WideTile& tile : tiles) {
    // A wider last tile may take the rest together with a tile's worth.
    for (const std::size_t fewer : {0u, 1u}) {
      if (activations / tile.width < fewer) continue;
      const std::size_t count = activations / tile.width - fewer;
      const std::size_t rest = activations - count * tile.width;
      WideTile last;
      for (const WideTile& other : tiles) {
        if (rest != 0 && other.width >= rest && (last.width == 0 || other.cost < last.cost)) last = other;
      }
      if (rest != 0 && last.width == 0) continue;
      const double cost = static_cast<double>(count) * tile.cost + last.cost;
      if (best.tiles() == 0 || cost < best.cost) best = {tile, count, last, cost};
    }
  }
  return best;
}

void WideLayout::accumulate(const WideTile& tile, std::size_t block, std::size_t begin, std::size_t end, const float* codebook,
                            const PanelInput& input, const ColumnsAhead& ahead, float* y) const {
  if (is_sparse()) {
    std::get<BlockLayout>(form_).accumulate(*tile.block, block, begin, end, codebook, input.x, y);
    return;
  }
  const CodeLayout& codes = std::get<CodeLayout>(form_);
  constexpr std::size_t GROUP_PANELS = BLOCK_GROUP / PANEL_ROWS;
  const std::size_t first = block * block_columns_;
  codes.accumulate(*tile.panel, first, std::min(block_columns_, columns_ - first), begin * GROUP_PANELS,
                   std::min(end * GROUP_PANELS, codes.panels()), codebook, input, block == 0, ahead, y);
}

}  // namespace sparsebook::kernels
