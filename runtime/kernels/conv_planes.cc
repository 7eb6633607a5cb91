#include "kernels/conv_planes.h"

#include <algorithm>
#include <stdexcept>

namespace sparsebook::kernels {
namespace {

std::size_t multiply(std::size_t a, std::size_t b) {
  std::size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) throw std::length_error("the padded input is larger than memory");
  return product;
}

}  // namespace

std::size_t ConvPlanes::Axis::phase_index(std::size_t kernel_element) const {
  const std::size_t phase = kernel_element * shape.dilation % shape.stride;
  return static_cast<std::size_t>(std::lower_bound(phases.begin(), phases.end(), phase) - phases.begin());
}

std::ptrdiff_t ConvPlanes::Axis::met(std::size_t output, std::size_t kernel_element, bool in_input) const {
  const std::size_t shift = kernel_element * shape.dilation;
  if (in_input) return static_cast<std::ptrdiff_t>(output + shift) - static_cast<std::ptrdiff_t>(shape.pad);
  return static_cast<std::ptrdiff_t>(output + shift / shape.stride);
}

std::ptrdiff_t ConvPlanes::Axis::there(bool in_input) const {
  return static_cast<std::ptrdiff_t>(in_input ? shape.input : extent);
}

ConvPlanes::ConvPlanes(const ConvShape& shape) {
  std::size_t input_floats = 1;
  for (unsigned a = 0; a < SPATIAL; ++a) {
    Axis& axis = axis_[a];
    axis.shape = shape.axis[a];
    axis.extent = axis.shape.output + (axis.shape.kernel - 1) * axis.shape.dilation / axis.shape.stride;
    for (std::size_t k = 0; k < axis.shape.kernel; ++k) axis.phases.push_back(k * axis.shape.dilation % axis.shape.stride);
    std::sort(axis.phases.begin(), axis.phases.end());
    axis.phases.erase(std::unique(axis.phases.begin(), axis.phases.end()), axis.phases.end());
    plane_floats_ = multiply(plane_floats_, axis.extent);
    channel_floats_ = multiply(channel_floats_, multiply(axis.extent, axis.phases.size()));
    input_floats *= axis.shape.input;
    outputs_ *= axis.shape.output;
    elements_ *= axis.shape.kernel;
    reads_input_ = reads_input_ && axis.shape.stride == 1;
  }
  if (reads_input_) channel_floats_ = input_floats;
}

void ConvPlanes::fill(const float* input, float* planes) const {
  for (const std::size_t d : axis_[0].phases) {
    for (const std::size_t h : axis_[1].phases) {
      for (const std::size_t w : axis_[2].phases) {
        fill_box(input, {d, h, w}, planes);
        planes += plane_floats_;
      }
    }
  }
}

void ConvPlanes::fill_box(const float* input, const std::array<std::size_t, SPATIAL>& phase, float* plane) const {
  // The phase's element e is padded input e * stride + phase; those in [first, last) lie on the input, the others in padding.
  std::array<std::size_t, SPATIAL> first{};
  std::array<std::size_t, SPATIAL> last{};
  for (unsigned a = 0; a < SPATIAL; ++a) {
    const ConvAxis& axis = axis_[a].shape;
    const auto reach = [&](std::size_t padded) {  // elements of the phase below this padded input
      const std::size_t count = padded <= phase[a] ? 0 : (padded - phase[a] + axis.stride - 1) / axis.stride;
      return std::min(count, axis_[a].extent);
    };
    first[a] = reach(axis.pad);
    last[a] = reach(axis.pad + axis.input);
  }
  const auto at = [&](unsigned a, std::size_t e) { return e * axis_[a].shape.stride + phase[a] - axis_[a].shape.pad; };
  const std::size_t row = axis_[2].extent;
  const std::size_t stride = axis_[2].shape.stride;
  for (std::size_t d = 0; d < axis_[0].extent; ++d) {
    for (std::size_t h = 0; h < axis_[1].extent; ++h, plane += row) {
      const bool inside = d >= first[0] && d < last[0] && h >= first[1] && h < last[1] && first[2] < last[2];
      if (!inside) {
        std::fill_n(plane, row, 0.0f);
        continue;
      }
      const float* from = input + (at(0, d) * axis_[1].shape.input + at(1, h)) * axis_[2].shape.input + at(2, first[2]);
      std::fill_n(plane, first[2], 0.0f);
      if (stride == 1) {
        std::copy_n(from, last[2] - first[2], plane + first[2]);
      } else {
        for (std::size_t w = first[2]; w < last[2]; ++w, from += stride) plane[w] = *from;
      }
      std::fill_n(plane + last[2], row - last[2], 0.0f);
    }
  }
}

void ConvPlanes::segments(std::size_t element, std::size_t begin, std::size_t vectors, std::size_t lanes,
                          std::vector<Segment>& found, std::vector<std::uint8_t>& counts) const {
  const std::array<std::size_t, SPATIAL> kernel = {element / axis_[2].shape.kernel / axis_[1].shape.kernel,
                                                   element / axis_[2].shape.kernel % axis_[1].shape.kernel,
                                                   element % axis_[2].shape.kernel};
  std::size_t plane = 0;
  if (!reads_input_) {
    for (unsigned a = 0; a < SPATIAL; ++a) plane = plane * axis_[a].phases.size() + axis_[a].phase_index(kernel[a]);
    plane *= plane_floats_;
  }
  const std::ptrdiff_t row_floats = axis_[2].there(reads_input_), rows = axis_[1].there(reads_input_);
  const std::size_t row = axis_[2].shape.output;
  for (std::size_t v = 0; v < vectors; ++v) {
    const std::size_t first = begin + v * lanes, last = std::min(first + lanes, outputs_);
    const std::size_t before = found.size();
    for (std::size_t o = first, next = o; o < last; o = next) {
      const std::size_t w = o % row;
      next = std::min(last, o + row - w);
      const std::ptrdiff_t d = axis_[0].met(o / row / axis_[1].shape.output, kernel[0], reads_input_);
      const std::ptrdiff_t h = axis_[1].met(o / row % axis_[1].shape.output, kernel[1], reads_input_);
      if (d < 0 || d >= axis_[0].there(reads_input_) || h < 0 || h >= rows) continue;
      // Of the outputs in this row, those that meet the input and not its padding.
      const std::ptrdiff_t at = axis_[2].met(w, kernel[2], reads_input_);
      const auto length = static_cast<std::ptrdiff_t>(next - o);
      const std::ptrdiff_t from = std::clamp<std::ptrdiff_t>(-at, 0, length);
      const std::ptrdiff_t to = std::clamp<std::ptrdiff_t>(row_floats - at, from, length);
      if (from == to) continue;
      const auto lane = static_cast<std::ptrdiff_t>(o - first);
      const std::ptrdiff_t place = static_cast<std::ptrdiff_t>(plane) + (d * rows + h) * row_floats + at - lane;
      const auto mask = static_cast<std::uint16_t>(((1u << (to - from)) - 1) << (lane + from));
      if (found.size() != before && found.back().from == place) {
        found.back().mask = static_cast<std::uint16_t>(found.back().mask | mask);  // rows without anything between them
      } else {
        found.push_back({place, mask});
      }
    }
    counts.push_back(static_cast<std::uint8_t>(found.size() - before));
  }
}

}  // namespace sparsebook::kernels
