#include "kernels/cost.h"

#include <algorithm>

namespace sparsebook::kernels {
namespace {

constexpr double PART = 40000;      // about ten microseconds
constexpr std::size_t PARTS = 32;   // enough for uneven ones to even out on eight threads
constexpr double COPY = 3;          // of sixteen floats of a column

}  // namespace

unsigned window_batch(const WindowRow& row, std::size_t activations) {
  unsigned found = 0;
  for (unsigned b = 1; b < WINDOW_BATCH_COUNT; ++b) {
    // A kernel that is more than half full is cheaper than smaller ones, since most of a group's work is shared.
    if (row.kernel[b] != nullptr && 2 * activations > WINDOW_BATCHES[b]) found = b;
  }
  return found;
}

double window_cost(const WindowRow& row, std::size_t groups, std::size_t activations) {
  double cost = 0;
  while (activations != 0) {
    const unsigned batch = WINDOW_BATCHES[window_batch(row, activations)];
    const double once = static_cast<double>(row.format.cost) + (batch - 1) * static_cast<double>(row.batch_cost);
    const std::size_t times = std::max<std::size_t>(1, activations / batch);
    cost += static_cast<double>(times) * static_cast<double>(groups) * once;
    activations -= std::min<std::size_t>(activations, times * batch);
  }
  return cost;
}

double tile_cost(const BlockRow& tile, std::uint64_t entries, std::uint64_t block_rows) {
  return static_cast<double>(entries) * static_cast<double>(tile.cost) +
         static_cast<double>(block_rows) * static_cast<double>(tile.row_cost);
}

TileChoice cheapest_tile(const Variant& variant, std::size_t activations, std::uint64_t entries, std::uint64_t block_rows,
                         std::uint64_t column_copies) {
  TileChoice best = {nullptr, 0};
  for (std::size_t i = 0; i < variant.block_count; ++i) {
    const BlockRow& tile = variant.blocks[i];
    const std::size_t tiles = (activations + tile.width - 1) / tile.width;
    const double copies = COPY * static_cast<double>(column_copies) * ((tile.width + 15) / 16);
    const double cost = static_cast<double>(tiles) * (tile_cost(tile, entries, block_rows) + copies);
    if (best.tile == nullptr || cost < best.cost) best = {&tile, cost};
  }
  return best;
}

std::size_t parts_of(double cost, std::size_t most) {
  const auto wanted = static_cast<std::size_t>(std::min(cost / PART, static_cast<double>(PARTS)));
  return std::max<std::size_t>(1, std::min(wanted, most));
}

}  // namespace sparsebook::kernels
