// Every variant's convolutions against their definition in double, over shapes that reach every tile width, phase and padding, in
// buffers that end where the forbidden begins.
#include "check.h"
#include "guarded.h"
#include "kernels/conv.h"
#include "kernels/variants.h"
#include "sparse_sample.h"

using namespace sparsebook::kernels;

namespace {

ConvAxis axis(std::size_t input, std::size_t kernel, std::size_t stride, std::size_t dilation, std::size_t before,
              std::size_t behind) {
  const std::size_t reach = (kernel - 1) * dilation + 1;
  return {input, kernel, (input + before + behind - reach) / stride + 1, stride, dilation, before};
}

ConvShape shape(std::size_t batch, std::size_t group, std::size_t inputs, std::size_t outputs, ConvAxis d, ConvAxis h, ConvAxis w) {
  return {batch, group, inputs, outputs, {d, h, w}};
}

double expected(const ConvShape& s, const std::vector<double>& weight, const float* x, std::size_t n, std::size_t m,
                const std::size_t (&o)[3]) {
  const auto& a = s.axis;
  const std::size_t g = m / s.group_outputs;
  double sum = 0;
  std::size_t at = m * s.group_inputs * a[0].kernel * a[1].kernel * a[2].kernel;
  for (std::size_t c = 0; c < s.group_inputs; ++c) {
    for (std::size_t kd = 0; kd < a[0].kernel; ++kd) {
      for (std::size_t kh = 0; kh < a[1].kernel; ++kh) {
        for (std::size_t kw = 0; kw < a[2].kernel; ++kw, ++at) {
          const std::size_t k[3] = {kd, kh, kw};
          std::size_t position = (n * s.group + g) * s.group_inputs + c;
          bool inside = true;
          for (unsigned i = 0; i < 3; ++i) {
            const std::size_t padded = o[i] * a[i].stride + k[i] * a[i].dilation;
            inside = inside && padded >= a[i].pad && padded - a[i].pad < a[i].input;
            position = position * a[i].input + (padded - a[i].pad);
          }
          if (inside) sum += weight[at] * x[position];
        }
      }
    }
  }
  return sum;
}

const Variant* tested = nullptr;

SparseSample sample(const ConvShape& s, std::size_t outputs, double density, std::mt19937& random, unsigned centroids = 255) {
  return {outputs, s.group_inputs * s.axis[0].kernel * s.axis[1].kernel * s.axis[2].kernel, density, random, centroids};
}

void check_weight(const ConvShape& s, const SparseSample& weight, std::mt19937& random) {
  const auto& a = s.axis;
  const std::size_t outputs = s.group * s.group_outputs;
  const std::size_t box = a[0].output * a[1].output * a[2].output;
  const Guarded x(s.batch * s.group * s.group_inputs * a[0].input * a[1].input * a[2].input), bias(outputs);
  const Guarded y(s.batch * outputs * box), addend(s.batch * outputs * box);
  for (std::size_t i = 0; i < s.batch * outputs * box; ++i) addend[i] = std::normal_distribution<float>()(random);
  for (std::size_t i = 0; i < s.batch * s.group * s.group_inputs * a[0].input * a[1].input * a[2].input; ++i) {
    x[i] = std::normal_distribution<float>()(random);
  }
  for (std::size_t i = 0; i < outputs; ++i) bias[i] = std::normal_distribution<float>()(random);
  const ConvWeight packed(*tested, weight.view(), s.group);
  Scratch scratch;
  Conv(s, packed).run(packed, {x.get(), bias.get(), addend.get(), {-4, 4}}, Serial(), scratch, y.get());

  const std::vector<double> dense = weight.dense();
  const float* found = y.get();
  for (std::size_t n = 0; n < s.batch; ++n) {
    for (std::size_t m = 0; m < outputs; ++m) {
      for (std::size_t d = 0; d < a[0].output; ++d) {
        for (std::size_t h = 0; h < a[1].output; ++h) {
          for (std::size_t w = 0; w < a[2].output; ++w) {
            const double sum = expected(s, dense, x.get(), n, m, {d, h, w}) + bias[m] + addend[static_cast<std::size_t>(found - y.get())];
            CHECK(check::close(*found++, std::fmin(std::fmax(sum, -4), 4), 10));
          }
        }
      }
    }
  }
}

void check_case(const ConvShape& s, double density, std::mt19937& random, unsigned centroids = 255) {
  check_weight(s, sample(s, s.group * s.group_outputs, density, random, centroids), random);
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
      check_weight(s, weight, random);
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
