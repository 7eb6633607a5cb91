#include "kernels/lane_rows.h"

#include <algorithm>
#include <utility>

namespace sparsebook::kernels {

ConvShape laid_flat(const ConvShape& shape) {
  const ConvAxis& last = shape.axis[2];
  ConvShape flat = shape;
  if (last.input == 1 && last.kernel == 1 && last.output == 1) std::swap(flat.axis[1], flat.axis[2]);
  return flat;
}

void lay_out_lanes(const Variant& variant, const ChannelRow& row, std::ptrdiff_t first, std::size_t columns, float* to) {
  const std::size_t lanes = variant.lanes;
  const auto all = static_cast<std::ptrdiff_t>(columns);
  const auto begin = std::clamp<std::ptrdiff_t>(-first, 0, all);
  const auto end = std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(row.width) - first, begin, all);
  const bool is_there = row.at != nullptr && begin != end;
  if (!is_there || row.channels < lanes) {
    std::fill_n(to, columns * lanes, 0.0f);
    if (!is_there) return;
  }
  const auto from = static_cast<std::size_t>(begin), behind = static_cast<std::size_t>(end);
  std::fill_n(to, from * lanes, 0.0f);
  variant.transpose(row.at + (first + begin), row.image, row.channels, behind - from, to + from * lanes, lanes);
  std::fill_n(to + behind * lanes, (columns - behind) * lanes, 0.0f);
}

void store_lanes(const Variant& variant, const float* lanes, const ResultRow& row, const ConvArguments& arguments, Scratch& scratch, float* y) {
  const std::size_t pitch = (row.width + MOST_LANES - 1) / MOST_LANES * MOST_LANES;
  const auto memory = scratch.lend(variant.lanes * pitch * sizeof(float));
  variant.transpose(lanes, variant.lanes, row.width, variant.lanes, memory.floats(), pitch);
  const auto from = [](const float* values, std::size_t first) { return values == nullptr ? nullptr : values + first; };
  variant.store({memory.floats(), pitch, row.channels, row.width, from(arguments.scale, row.channel), from(arguments.bias, row.channel),
                 from(arguments.addend, row.at), arguments.activation.low, arguments.activation.high, y + row.at, row.image});
}

}  // namespace sparsebook::kernels
