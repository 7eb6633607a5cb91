// How a convolution's input is laid out so that its inner loop is always a contiguous run of stride one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

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
/// A *plane* is the box of one phase combination of one channel; outputs are addressed with the plane's own pitches, as a
/// *virtual* output: for every kernel element, virtual output v then meets plane element v + constant. Virtual outputs
/// in the last columns and rows that only the pitch has are computed and dropped.
class ConvPlanes {
 public:
  explicit ConvPlanes(const ConvShape& shape);

  /// Virtual outputs: one more than the index of the last real one; 0 if there is none.
  [[nodiscard]] std::size_t virtual_outputs() const { return virtual_outputs_; }

  /// Floats of all planes of one input channel.
  [[nodiscard]] std::size_t channel_floats() const { return channel_floats_; }

  /// Whether one channel's planes are its input as it is: stride 1 everywhere, nothing padded or left over.
  [[nodiscard]] bool is_input() const { return is_input_; }

  /// For every column of the weight, in its order (channel of the group, kernel elements): the plane element that virtual
  /// output 0 meets, counted from the group's first channel.
  [[nodiscard]] const std::vector<std::size_t>& offsets() const { return offsets_; }

  /// Lays out one channel: `input` is its box, `planes` takes channel_floats() floats.
  void fill(const float* input, float* planes) const;

  /// Real outputs in a stretch of virtual ones.
  struct Run {
    std::size_t from;    ///< in the stretch
    std::size_t length;
    std::size_t to;      ///< in the channel's output box
  };

  /// Writes the runs of [begin, begin + width) to `runs`, which has room for `width`, and returns their number.
  std::size_t runs(std::size_t begin, std::size_t width, Run* runs) const;

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
  std::size_t virtual_outputs_ = 0;
  bool is_input_ = true;
  std::vector<std::size_t> offsets_;
};

}  // namespace sparsebook::kernels
