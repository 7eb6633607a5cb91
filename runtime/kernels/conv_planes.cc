#include "kernels/conv_planes.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace sparsebook::kernels {
namespace {

constexpr std::size_t LINE_FLOATS = 16;  // of a cache line

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

ConvPlanes::ConvPlanes(const ConvShape& shape, Padding padding) {
  std::size_t input_floats = 1;
  bool has_padding = false;
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
    has_padding = has_padding || axis.shape.pad != 0 || axis.extent > axis.shape.input;
  }
  // Where outputs have gaps between their positions, the last tile could not be copied from the input as outputs lie.
  if (padding == Padding::LAID_OUT && (has_padding || positions() != outputs_)) reads_input_ = false;
  written_ = channel_floats_;
  if (reads_input_) {
    channel_floats_ = input_floats;
  } else if (padding == Padding::LAID_OUT) {
    // An odd number of cache lines: else a power of two could bring all channels to the same lines of the first cache.
    channel_floats_ = ((channel_floats_ + LINE_FLOATS - 1) / LINE_FLOATS | 1) * LINE_FLOATS;
  }
  // Runs count in 32 bits.
  if (channel_floats_ > std::numeric_limits<std::int32_t>::max()) throw std::length_error("a channel is larger than 2^31 values");
}

std::size_t ConvPlanes::positions() const {
  if (outputs_ == 0) return 0;
  return ((axis_[0].shape.output - 1) * height() + axis_[1].shape.output - 1) * width() + axis_[2].shape.output;
}

std::ptrdiff_t ConvPlanes::offset(std::size_t element) const {
  const std::array<std::size_t, SPATIAL> kernel = kernel_indices(element);
  std::ptrdiff_t at = 0;
  for (unsigned a = 0; a < SPATIAL; ++a) at = at * axis_[a].there(reads_input_) + axis_[a].met(0, kernel[a], reads_input_);
  return static_cast<std::ptrdiff_t>(plane(kernel)) + at;
}

std::vector<ConvPlanes::Run> ConvPlanes::runs(std::size_t first, std::size_t count) const {
  std::vector<Run> found;
  const std::size_t end = std::min(first + count, positions());
  for (std::size_t row = first / width(); row * width() < end; ++row) {
    const std::size_t d = row / height(), h = row % height();
    if (d >= axis_[0].shape.output || h >= axis_[1].shape.output) continue;
    const std::size_t begin = std::max(first, row * width()), stop = std::min(end, row * width() + axis_[2].shape.output);
    if (begin >= stop) continue;
    const std::size_t output = (d * axis_[1].shape.output + h) * axis_[2].shape.output + begin - row * width();
    if (!found.empty() && found.back().position + found.back().count == begin) {
      found.back().count += stop - begin;  // rows without anything between them
    } else {
      found.push_back({begin, output, stop - begin});
    }
  }
  return found;
}

std::array<std::size_t, SPATIAL> ConvPlanes::kernel_indices(std::size_t element) const {
  return {element / axis_[2].shape.kernel / axis_[1].shape.kernel, element / axis_[2].shape.kernel % axis_[1].shape.kernel,
          element % axis_[2].shape.kernel};
}

std::size_t ConvPlanes::plane(const std::array<std::size_t, SPATIAL>& kernel) const {
  if (reads_input_) return 0;
  std::size_t found = 0;
  for (unsigned a = 0; a < SPATIAL; ++a) found = found * axis_[a].phases.size() + axis_[a].phase_index(kernel[a]);
  return found * plane_floats_;
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
  std::fill_n(planes, channel_floats_ - written_, 0.0f);
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

void ConvPlanes::copies(std::size_t element, std::size_t begin, std::size_t width, std::size_t lanes,
                        std::vector<CopyRun>& found) const {
  const std::array<std::size_t, SPATIAL> kernel = kernel_indices(element);
  const std::size_t first_run = found.size();
  const auto to_run = [](std::size_t value) { return static_cast<std::uint16_t>(value); };
  std::size_t covered = 0;  // what the runs so far have written
  const auto put_zeros = [&](std::size_t end) {
    if (covered < end) found.push_back({NOTHING, to_run(covered), to_run(end - covered)});
  };
  const auto put = [&](std::size_t from, std::size_t to, std::size_t count) {
    const bool goes_on = found.size() > first_run && found.back().from != NOTHING &&
                         static_cast<std::size_t>(found.back().from) + found.back().count == from &&
                         std::size_t{found.back().to} + found.back().count == to;
    if (goes_on) {
      found.back().count = to_run(found.back().count + count);  // rows without anything between them
    } else {
      put_zeros(to);
      found.push_back({static_cast<std::int32_t>(from), to_run(to), to_run(count)});
    }
    covered = found.back().to + (found.back().count + lanes - 1) / lanes * lanes;
  };
  const std::ptrdiff_t row_floats = axis_[2].there(reads_input_), rows = axis_[1].there(reads_input_);
  const std::size_t row = axis_[2].shape.output, last = std::min(begin + width, outputs_);
  for (std::size_t o = begin, next = o; o < last; o = next) {
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
    const std::size_t place = plane(kernel) + static_cast<std::size_t>((d * rows + h) * row_floats + at + from);
    put(place, o - begin + static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
  }
  put_zeros(width);
}

}  // namespace sparsebook::kernels
