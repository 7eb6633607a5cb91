// What a product by windows is expected to cost, in the unit of the variants' costs (variant.h), and into how many parts work is cut.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/variant.h"

namespace sparsebook::kernels {

/// Of a window layout of so many groups with this many rows of activations.
[[nodiscard]] double window_cost(const WindowRow& row, double groups, std::size_t activations);

/// The number of the window kernel (variant.h, WINDOW_BATCHES) for the next of this many rows of activations.
[[nodiscard]] unsigned window_batch(const WindowRow& row, std::size_t activations);

/// Into how many parts work of this cost is cut, by its cost alone, since nobody says how many threads there are. A part takes ten
/// microseconds or more, which is what handing it to another thread costs.
[[nodiscard]] std::size_t parts_of(double cost, std::size_t most);

}  // namespace sparsebook::kernels
