// Depthwise convolutions with channels in lanes, of every variant against the definition in double, whatever they cost.
#include "conv_case.h"

using namespace sparsebook::kernels;
using conv_case::axis, conv_case::sample, conv_case::shape;

namespace {

const Variant* tested = nullptr;

void check_lanes(const ConvShape& s, std::mt19937& random, double density = 1.0, bool spoilt = false) {
  const auto lanes = [&](const ConvWeight& weight, const ConvArguments& arguments, float* y) {
    CHECK(Depthwise::fits(*tested, s));
    Scratch scratch;
    Depthwise(*tested, s).run(weight, arguments, Serial(), scratch, y);
    return true;
  };
  conv_case::check_way(*tested, s, sample(s, s.group, density, random), random, lanes, spoilt);
}

void all_shapes() {
  std::mt19937 random(31);
  const ConvAxis one;
  // Every remainder of channels by vectors and of outputs by what is computed at once.
  for (const std::size_t channels : {1u, 3u, 4u, 7u, 8u, 15u, 16u, 17u, 33u}) {
    check_lanes(shape(2, channels, 1, 1, one, axis(6, 3, 1, 1, 1, 1), axis(7, 3, 1, 1, 1, 1)), random);
  }
  for (std::size_t width = 1; width <= 20; ++width) {
    check_lanes(shape(1, 5, 1, 1, one, axis(3, 3, 1, 1, 1, 1), axis(width, 5, 1, 1, 2, 2)), random);
    check_lanes(shape(1, 5, 1, 1, one, one, axis(width, 2, 1, 1, 1, 0)), random, 0.5);
    check_lanes(shape(1, 5, 1, 1, one, axis(width, 2, 1, 1, 1, 0), one), random, 0.5);
  }
  for (const std::size_t stride : {1u, 2u, 3u}) {
    for (const std::size_t dilation : {1u, 2u}) {
      for (const std::size_t before : {0u, 1u, 4u}) {
        check_lanes(shape(1, 6, 1, 1, one, axis(11, 3, stride, dilation, before, 1), axis(13, 4, stride, dilation, 1, before)), random, 0.7);
      }
    }
  }
  // Bands of rows; none of the elements left; none of the images.
  check_lanes(shape(1, 18, 1, 1, one, axis(70, 3, 1, 1, 1, 1), axis(90, 3, 1, 1, 1, 1)), random);
  check_lanes(shape(1, 3, 1, 1, one, axis(9, 5, 2, 1, 2, 2), axis(700, 5, 2, 1, 2, 2)), random);
  check_lanes(shape(1, 20, 1, 1, one, axis(8, 3, 1, 1, 1, 1), axis(8, 3, 1, 1, 1, 1)), random, 0.0);
  check_lanes(shape(0, 20, 1, 1, one, axis(8, 3, 1, 1, 1, 1), axis(8, 3, 1, 1, 1, 1)), random);
  // Zeros beyond any memory between two elements of a kernel, some of whose bytes are a multiple of 2^64: taps one by one refuse them.
  for (const unsigned bits : {20u, 28u, 29u, 30u}) {
    const std::size_t far = (std::size_t{1} << bits) - 1;
    CHECK(!Depthwise::fits(*tested, shape(1, 1, 1, 1, one, axis(1, 2, 1, far, 0, far), axis(1, 2, 1, far, 0, far))));
  }
  // Infinity stays where it belongs.
  check_lanes(shape(1, 20, 1, 1, one, axis(12, 3, 1, 1, 1, 1), axis(12, 3, 1, 1, 1, 1)), random, 1.0, true);
}

// A layer of one vector of channels has work for several threads.
void few_channels_are_cut() {
  struct Counted final : Parallel {
    mutable std::size_t parts = 0;
    void run(std::size_t count, const std::function<void(std::size_t)>& body) const override {
      parts += count;
      for (std::size_t part = count; part != 0; --part) body(part - 1);
    }
  };
  std::mt19937 random(43);
  const ConvAxis one;
  for (const auto& [batch, size] : {std::pair<std::size_t, std::size_t>(1, 130), {40, 28}}) {
    const ConvShape s = shape(batch, 4, 1, 1, one, axis(size, 3, 1, 1, 1, 1), axis(size, 3, 1, 1, 1, 1));
    const Counted parallel;
    const auto lanes = [&](const ConvWeight& weight, const ConvArguments& arguments, float* y) {
      Scratch scratch;
      Depthwise(*tested, s).run(weight, arguments, parallel, scratch, y);
      return true;
    };
    conv_case::check_way(*tested, s, sample(s, 4, 1.0, random), random, lanes);
    CHECK(parallel.parts >= 2);
  }
}

}  // namespace

int main() {
  for (const Variant* variant : runnable_variants()) {
    tested = variant;
    all_shapes();
    few_channels_are_cut();
  }
  return check::finish();
}
