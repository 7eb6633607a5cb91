// Convolution of every channel by itself: lanes are channels, so that all loads are whole vectors, whatever strides, dilations and paddings are.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/conv_planes.h"
#include "kernels/conv_weight.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"
#include "kernels/tap_layout.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

class Depthwise {
 public:
  /// Whether groups have one channel, before and after, the first axis is none, and what one row of outputs meets is no larger than what is worth
  /// laying out: padding, dilations and strides may span any distance.
  [[nodiscard]] static bool fits(const Variant& variant, const ConvShape& shape);

  /// The shape fits.
  Depthwise(const Variant& variant, const ConvShape& shape);

  /// Of all of it, in the variant's unit.
  [[nodiscard]] double cost() const;

  /// y = activation(scale * convolution + bias + addend), as Conv::run; the weight lies as taps.
  void run(const ConvWeight& weight, const ConvArguments& arguments, const Parallel& parallel, Scratch& scratch, float* y) const;

 private:
  struct Band;
  void run_bands(const ConvCall& call, std::size_t vector, std::size_t begin, std::size_t end) const;
  std::size_t read_taps(const ConvCall& call, std::size_t channel, std::size_t channels, float* weights, std::ptrdiff_t* at) const;
  void run_band(const ConvCall& call, const LaneTaps& taps, const Band& band) const;

  [[nodiscard]] std::size_t image_bands() const { return (high().output + band_ - 1) / band_; }
  [[nodiscard]] const ConvAxis& high() const { return shape_.axis[1]; }
  [[nodiscard]] const ConvAxis& wide() const { return shape_.axis[2]; }

  const Variant* variant_;
  ConvShape shape_;
  std::size_t columns_;              // of inputs that a row of outputs meets
  std::size_t band_;                 // rows of outputs whose inputs are laid out together
  std::vector<std::ptrdiff_t> at_;   // where an element of the kernel meets the first output, in floats
};

}  // namespace sparsebook::kernels
