// How a convolution's input is laid out so that its inner loop is always a contiguous run of stride one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/variant.h"

namespace sparsebook::kernels {

inline constexpr unsigned SPATIAL = 3;  ///< 1-D and 2-D convolutions have leading axes of one

/// One spatial axis of a convolution.
struct ConvAxis {
  std::size_t input = 1;
  std::size_t kernel = 1;
  std::size_t output = 1;
  std::size_t stride = 1;
  std::size_t dilation = 1;
  std::size_t pad = 0;  ///< zeros before the input; those behind follow from `output`
};

struct ConvShape {
  std::size_t batch = 0;
  std::size_t group = 1;
  std::size_t group_inputs = 1;   ///< input channels of a group
  std::size_t group_outputs = 1;  ///< output channels of a group
  std::array<ConvAxis, SPATIAL> axis;
};

/// Kernel element k of an axis meets output o at padded input o * stride + k * dilation. The inputs of equal remainder by the
/// stride, one *phase*, are laid side by side, so that consecutive outputs meet consecutive inputs whatever the stride is:
/// element k meets output o at index o + floor(k * dilation / stride) of phase (k * dilation) mod stride.
///
/// A *plane* is the box of one phase combination of one channel. For every kernel element, the output at (d, h, w) meets the plane
/// element at (d, h, w) of the plane's own pitches, plus a constant.
class ConvPlanes {
 public:
  explicit ConvPlanes(const ConvShape& shape);

  /// Outputs of one channel.
  [[nodiscard]] std::size_t outputs() const { return outputs_; }

  /// Floats of all planes of one input channel.
  [[nodiscard]] std::size_t channel_floats() const { return channel_floats_; }

  /// Whether one channel's planes are its input as it is: stride 1 everywhere, nothing padded or left over.
  [[nodiscard]] bool is_input() const { return is_input_; }

  /// For every column of the weight, in its order (channel of the group, kernel elements): the plane element that
  /// output 0 meets, counted from the group's first channel.
  [[nodiscard]] const std::vector<std::size_t>& offsets() const { return offsets_; }

  /// Lays out one channel: `input` is its box, `planes` takes channel_floats() floats.
  void fill(const float* input, float* planes) const;

  /// Where the outputs [begin, begin + width) of a channel's box lie in the plane, in stretches of neighbours (variant.h): `from` counts
  /// from the plane element that output 0 meets, `to` from `begin`. Writes at most `width` stretches, and returns their number.
  std::size_t stretches(std::size_t begin, std::size_t width, Stretch* found) const;

 private:
  struct Axis {
    ConvAxis shape;
    std::size_t extent = 1;               ///< elements of a phase
    std::vector<std::size_t> phases;      ///< remainders that occur, ascending
    [[nodiscard]] std::size_t phase_index(std::size_t kernel_element) const;
  };

  void fill_box(const float* input, const std::array<std::size_t, SPATIAL>& phase, float* plane) const;

  std::array<Axis, SPATIAL> axis_;
  std::size_t plane_floats_ = 1;
  std::size_t channel_floats_ = 1;
  std::size_t outputs_ = 1;
  bool is_input_ = true;
  std::vector<std::size_t> offsets_;
};

}  // namespace sparsebook::kernels
