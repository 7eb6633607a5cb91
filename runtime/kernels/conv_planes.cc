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

ConvPlanes::ConvPlanes(const ConvShape& shape) {
  for (unsigned a = 0; a < SPATIAL; ++a) {
    Axis& axis = axis_[a];
    axis.shape = shape.axis[a];
    axis.extent = axis.shape.output + (axis.shape.kernel - 1) * axis.shape.dilation / axis.shape.stride;
    for (std::size_t k = 0; k < axis.shape.kernel; ++k) axis.phases.push_back(k * axis.shape.dilation % axis.shape.stride);
    std::sort(axis.phases.begin(), axis.phases.end());
    axis.phases.erase(std::unique(axis.phases.begin(), axis.phases.end()), axis.phases.end());
    plane_floats_ = multiply(plane_floats_, axis.extent);
    channel_floats_ = multiply(channel_floats_, multiply(axis.extent, axis.phases.size()));
    outputs_ *= axis.shape.output;
    is_input_ = is_input_ && axis.shape.stride == 1 && axis.shape.pad == 0 && axis.extent == axis.shape.input;
  }
  const std::size_t row = axis_[2].extent;
  const std::size_t slice = axis_[1].extent * row;

  const auto shift = [](const Axis& axis, std::size_t k) { return k * axis.shape.dilation / axis.shape.stride; };
  for (std::size_t channel = 0; channel < shape.group_inputs; ++channel) {
    for (std::size_t d = 0; d < axis_[0].shape.kernel; ++d) {
      for (std::size_t h = 0; h < axis_[1].shape.kernel; ++h) {
        for (std::size_t w = 0; w < axis_[2].shape.kernel; ++w) {
          const std::size_t plane =
              (axis_[0].phase_index(d) * axis_[1].phases.size() + axis_[1].phase_index(h)) * axis_[2].phases.size() +
              axis_[2].phase_index(w);
          offsets_.push_back(multiply(channel, channel_floats_) + plane * plane_floats_ + shift(axis_[0], d) * slice +
                             shift(axis_[1], h) * row + shift(axis_[2], w));
        }
      }
    }
  }
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

std::size_t ConvPlanes::stretches(std::size_t begin, std::size_t width, Stretch* found) const {
  const std::size_t row = axis_[2].shape.output;
  const std::size_t end = std::min(begin + width, outputs_);
  std::size_t count = 0;
  for (std::size_t o = begin; o < end;) {
    const std::size_t w = o % row;
    const std::size_t d = o / row / axis_[1].shape.output;
    const std::size_t h = o / row % axis_[1].shape.output;
    const std::size_t length = std::min(end - o, row - w);
    const std::size_t from = (d * axis_[1].extent + h) * axis_[2].extent + w;
    // Rows without anything between them go on: a plane that is as wide as the output.
    if (count != 0 && found[count - 1].from + found[count - 1].length == from) {
      found[count - 1].length += length;
    } else {
      found[count++] = {from, o - begin, length};
    }
    o += length;
  }
  return count;
}

}  // namespace sparsebook::kernels
