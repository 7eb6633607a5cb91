// What a product is expected to cost, in the unit of the variants' costs (variant.h), and which tile is the cheapest.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/variant.h"

namespace sparsebook::kernels {

/// Of a window layout of so many groups with this many rows of activations.
[[nodiscard]] double window_cost(const WindowRow& row, std::size_t groups, std::size_t activations);

/// The number of the window kernel (variant.h, WINDOW_BATCHES) for the next of this many rows of activations.
[[nodiscard]] unsigned window_batch(const WindowRow& row, std::size_t activations);

/// Of one tile that passes over a block layout of so many entries and rows of blocks.
[[nodiscard]] double tile_cost(const BlockRow& tile, std::uint64_t entries, std::uint64_t block_rows);

/// The tile by which this many activations side by side cost least, and what they then cost. `column_copies`: how many columns have
/// to be laid out for every tile.
struct TileChoice {
  const BlockRow* tile;
  double cost;
};
[[nodiscard]] TileChoice cheapest_tile(const Variant& variant, std::size_t activations, std::uint64_t entries,
                                       std::uint64_t block_rows, std::uint64_t column_copies);

/// Into how many parts work of this cost is cut, by its cost alone, since nobody says how many threads there are. A part takes ten
/// microseconds or more, which is what handing it to another thread costs.
[[nodiscard]] std::size_t parts_of(double cost, std::size_t most);

}  // namespace sparsebook::kernels
