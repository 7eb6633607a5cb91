#include "kernels/cost.h"

#include <algorithm>

namespace sparsebook::kernels {
namespace {

constexpr double PART = 40000;      // about ten microseconds
constexpr std::size_t PARTS = 32;   // enough for uneven ones to even out on eight threads

}  // namespace

unsigned window_batch(const WindowRow& row, std::size_t activations) {
  unsigned found = 0;
  for (unsigned b = 1; b < WINDOW_BATCH_COUNT; ++b) {
    // A kernel that is more than half full is cheaper than smaller ones, since most of a group's work is shared.
    if (row.kernel[b] != nullptr && 2 * activations > WINDOW_BATCHES[b]) found = b;
  }
  return found;
}

double window_cost(const WindowRow& row, double groups, std::size_t activations) {
  double cost = 0;
  while (activations != 0) {
    const unsigned batch = WINDOW_BATCHES[window_batch(row, activations)];
    const double once = static_cast<double>(row.format.cost) + (batch - 1) * static_cast<double>(row.batch_cost);
    const std::size_t times = std::max<std::size_t>(1, activations / batch);
    cost += static_cast<double>(times) * groups * once;
    activations -= std::min<std::size_t>(activations, times * batch);
  }
  return cost;
}

std::size_t parts_of(double cost, std::size_t most) {
  const auto wanted = static_cast<std::size_t>(std::min(cost / PART, static_cast<double>(PARTS)));
  return std::max<std::size_t>(1, std::min(wanted, most));
}

}  // namespace sparsebook::kernels
