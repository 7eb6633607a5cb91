// Every variant's convolutions against their definition in double, over shapes that reach every tile width, phase and padding, in
// buffers that end where the forbidden begins.
#include "conv_case.h"

using namespace sparsebook::kernels;
using conv_case::axis, conv_case::sample, conv_case::shape;

namespace {

const Variant* tested = nullptr;

void check_case(const ConvShape& s, double density, std::mt19937& random, unsigned centroids = 255) {
  conv_case::check_weight(*tested, s, sample(s, s.group * s.group_outputs, density, random, centroids), random);
}

// Groups of which one is full and one nearly empty: the first alone would be taken for codes, the second for blocks.
void uneven_groups() {
  std::mt19937 random(17);
  const ConvAxis one, nine = axis(9, 3, 1, 1, 1, 1);
  for (const std::size_t outputs : {2u, 8u, 20u}) {
    for (const auto& [first, second] : {std::pair(1.0, 0.02), std::pair(0.02, 1.0), std::pair(0.9, 0.5)}) {
      const ConvShape s = shape(2, 2, 12, outputs, one, nine, nine);
      SparseSample weight = sample(s, outputs, first, random);
      weight.append(sample(s, outputs, second, random));
      conv_case::check_weight(*tested, s, weight, random);
    }
  }
}

void all_shapes() {
  std::mt19937 random(13);
  const ConvAxis one;
  // Outputs of 1 to 40 in a row: every tile width, its neighbours, and the last tile moved back.
  for (std::size_t width = 1; width <= 40; ++width) {
    check_case(shape(1, 1, 2, 3, one, one, axis(width, 1, 1, 1, 0, 0)), 0.5, random);
    check_case(shape(2, 1, 2, 3, one, one, axis(width + 2, 3, 1, 1, 0, 0)), 0.5, random);
    check_case(shape(1, 1, 2, 2, one, axis(3, 2, 1, 1, 1, 0), axis(width, 3, 1, 1, 1, 1)), 0.5, random);
  }
  // Strides, dilations and paddings against each other, two axes.
  for (const std::size_t stride : {1u, 2u, 3u, 4u}) {
    for (const std::size_t dilation : {1u, 2u, 3u}) {
      for (const std::size_t before : {0u, 1u, 3u}) {
        for (const std::size_t behind : {0u, 2u}) {
          check_case(shape(1, 1, 2, 2, one, axis(9, 3, stride, dilation, before, behind), axis(13, 2, stride, dilation, behind, before)),
                     0.6, random);
        }
      }
    }
  }
  // Padding wider than the kernel: outputs that see nothing but padding.
  check_case(shape(1, 1, 1, 1, one, axis(2, 2, 1, 1, 5, 5), axis(2, 2, 2, 1, 5, 5)), 1.0, random);
  // Groups, and as many groups as channels.
  check_case(shape(2, 2, 3, 4, one, axis(7, 3, 1, 1, 1, 1), axis(7, 3, 1, 1, 1, 1)), 0.4, random);
  check_case(shape(1, 8, 1, 1, one, axis(14, 3, 2, 1, 1, 1), axis(14, 3, 2, 1, 1, 1)), 0.7, random);
  check_case(shape(1, 8, 1, 3, one, axis(14, 3, 1, 1, 1, 1), axis(14, 3, 1, 1, 1, 1)), 0.7, random);
  // Three axes.
  check_case(shape(2, 1, 2, 3, axis(5, 3, 2, 1, 1, 1), axis(6, 2, 1, 2, 0, 1), axis(7, 3, 2, 1, 2, 0)), 0.4, random);
  check_case(shape(1, 1, 2, 3, axis(4, 2, 1, 1, 0, 0), axis(5, 2, 1, 1, 0, 0), axis(6, 2, 1, 1, 0, 0)), 0.4, random);
  // Few zeros, four and more output channels a group: panels of codes, which meet their activations where they lie or copied.
  for (std::size_t width = 1; width <= 70; ++width) {
    check_case(shape(1, 1, 2, 5, one, one, axis(width, 1, 1, 1, 0, 0)), 1.0, random);
    check_case(shape(2, 1, 2, 9, one, axis(2, 1, 1, 1, 0, 0), axis(width + 2, 3, 1, 1, 0, 0)), 0.9, random);
    check_case(shape(1, 1, 3, 4, one, axis(3, 3, 1, 1, 1, 1), axis(width, 3, 1, 1, 1, 1)), 1.0, random);
    check_case(shape(1, 2, 2, 4, one, axis(5, 3, 2, 1, 1, 0), axis(width, 3, 2, 1, 1, 1)), 1.0, random);
  }
  for (const std::size_t stride : {1u, 2u, 3u}) {
    for (const std::size_t dilation : {1u, 2u}) {
      for (const std::size_t outputs : {1u, 3u, 4u, 8u}) {
        check_case(shape(1, 2, 3, outputs, one, axis(9, 3, stride, dilation, 1, 2), axis(13, 2, stride, dilation, 2, 0)), 1.0, random);
        check_case(shape(1, 1, 2, outputs, axis(4, 2, 1, 1, 1, 0), axis(5, 3, stride, 1, 1, 1), axis(6, 3, 1, dilation, 2, 2)), 1.0, random);
      }
    }
  }
  // More positions than taps pass over at once, columns beyond a block.
  check_case(shape(1, 3, 1, 1, one, axis(40, 3, 1, 1, 1, 1), axis(30, 3, 1, 1, 1, 1)), 0.8, random);
  check_case(shape(1, 1, 2, 2, one, one, axis(2500, 5, 1, 1, 2, 2)), 0.8, random);
  check_case(shape(1, 1, 40, 12, one, axis(7, 3, 1, 1, 1, 1), axis(9, 3, 1, 1, 1, 1)), 1.0, random);
  // No non-zeros, all non-zeros, no batch.
  check_case(shape(1, 1, 3, 4, one, axis(8, 3, 1, 1, 1, 1), axis(8, 3, 1, 1, 1, 1)), 0.0, random);
  check_case(shape(1, 1, 3, 4, one, axis(8, 3, 1, 1, 1, 1), axis(8, 3, 1, 1, 1, 1)), 1.0, random);
  check_case(shape(0, 1, 3, 4, one, axis(8, 3, 1, 1, 1, 1), axis(8, 3, 1, 1, 1, 1)), 0.5, random);
  // Rows beyond a group of sixty-four, columns beyond a block of sixty-four, codebooks of five bits.
  for (const std::size_t outputs : {63u, 64u, 65u, 130u}) {
    for (const std::size_t inputs : {7u, 8u, 15u}) {
      check_case(shape(1, 1, inputs, outputs, one, axis(6, 3, 1, 1, 1, 1), axis(5, 3, 1, 1, 1, 1)), 0.3, random, outputs % 2 == 0 ? 31 : 255);
    }
  }
}

}  // namespace

int main() {
  for (const Variant* variant : runnable_variants()) {
    tested = variant;
    all_shapes();
    uneven_groups();
  }
  return check::finish();
}
