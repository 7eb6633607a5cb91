// Where a convolution finds the activations that a tile of its outputs meets, in runs of neighbours.
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

/// What becomes of a convolution's padding.
enum class Padding {
  MASKED,    ///< it is left out where activations are copied: copies()
  LAID_OUT,  ///< it lies around the activations, so that nobody has to tell it from them: offset()
};

/// Kernel element k of an axis meets output o at padded input o * stride + k * dilation.
///
/// With strides of one, neighbouring outputs meet neighbouring inputs, and the input is read as it is, unless padding is laid out and there
/// is some. Otherwise the inputs of equal remainder by the stride, one *phase*, are laid side by side, so that they do: element k then meets
/// output o at index o + floor(k * dilation / stride) of phase (k * dilation) mod stride. A *plane* is the box of one combination of phases
/// of one channel, with its padding.
///
/// An element meets all outputs at one distance from its first one if outputs are counted as the plane's elements are: output (d, h, w) has
/// *position* (d * plane height + h) * plane width + w. Positions behind the end of a row are no output's.
class ConvPlanes {
 public:
  ConvPlanes(const ConvShape& shape, Padding padding);

  /// Outputs of one channel.
  [[nodiscard]] std::size_t outputs() const { return outputs_; }

  /// Positions from the first output's to the last one's.
  [[nodiscard]] std::size_t positions() const;

  /// What position 0 meets through a kernel element, in floats of the channel; for padding that is laid out.
  [[nodiscard]] std::ptrdiff_t offset(std::size_t element) const;

  /// Outputs that lie side by side among positions too.
  struct Run {
    std::size_t position;
    std::size_t output;
    std::size_t count;
  };
  /// Those of the positions [first, first + count), ascending.
  [[nodiscard]] std::vector<Run> runs(std::size_t first, std::size_t count) const;

  /// Elements of the kernel.
  [[nodiscard]] std::size_t elements() const { return elements_; }

  /// Whether the element is the first of a row of the kernel.
  [[nodiscard]] bool begins_row(std::size_t element) const { return element % axis_[2].shape.kernel == 0; }

  /// Whether the input is read as it is.
  [[nodiscard]] bool reads_input() const { return reads_input_; }

  /// Floats of one channel's input, or of all of its planes.
  [[nodiscard]] std::size_t channel_floats() const { return channel_floats_; }

  /// Lays out one channel where the input is not read as it is: `input` is its box, `planes` takes channel_floats() floats.
  void fill(const float* input, float* planes) const;

  /// What the outputs [begin, begin + width) meet through a kernel element, in runs that count floats of the channel, zeros where there is
  /// nothing; appends them. `lanes`: of the vectors that a copy writes.
  void copies(std::size_t element, std::size_t begin, std::size_t width, std::size_t lanes, std::vector<CopyRun>& found) const;

 private:
  struct Axis {
    ConvAxis shape;
    std::size_t extent = 1;           ///< elements of a phase
    std::vector<std::size_t> phases;  ///< remainders that occur, ascending
    [[nodiscard]] std::size_t phase_index(std::size_t kernel_element) const;
    /// The input, or the plane's element, that an output meets; below zero, or from `there()` on, in the padding.
    [[nodiscard]] std::ptrdiff_t met(std::size_t output, std::size_t kernel_element, bool in_input) const;
    [[nodiscard]] std::ptrdiff_t there(bool in_input) const;
  };

  /// The plane that an element meets, in floats of the channel.
  [[nodiscard]] std::size_t plane(const std::array<std::size_t, SPATIAL>& kernel) const;
  [[nodiscard]] std::array<std::size_t, SPATIAL> kernel_indices(std::size_t element) const;
  [[nodiscard]] std::size_t width() const { return static_cast<std::size_t>(axis_[2].there(reads_input_)); }
  [[nodiscard]] std::size_t height() const { return static_cast<std::size_t>(axis_[1].there(reads_input_)); }
  void fill_box(const float* input, const std::array<std::size_t, SPATIAL>& phase, float* plane) const;

  std::array<Axis, SPATIAL> axis_;
  std::size_t plane_floats_ = 1;
  std::size_t channel_floats_ = 1;
  std::size_t written_ = 1;  // of them, by planes
  std::size_t outputs_ = 1;
  std::size_t elements_ = 1;
  bool reads_input_ = true;
};

}  // namespace sparsebook::kernels
