// A convolution with random activations, and its definition in double, in buffers that end where the forbidden begins.
#pragma once

#include <functional>

#include "check.h"
#include "guarded.h"
#include "kernels/conv.h"
#include "kernels/variants.h"
#include "sparse_sample.h"

namespace conv_case {

using namespace sparsebook::kernels;

inline ConvAxis axis(std::size_t input, std::size_t kernel, std::size_t stride, std::size_t dilation, std::size_t before,
              std::size_t behind) {
  const std::size_t reach = (kernel - 1) * dilation + 1;
  return {input, kernel, (input + before + behind - reach) / stride + 1, stride, dilation, before};
}

inline ConvShape shape(std::size_t batch, std::size_t group, std::size_t inputs, std::size_t outputs, ConvAxis d, ConvAxis h, ConvAxis w) {
  return {batch, group, inputs, outputs, {d, h, w}};
}

inline double expected(const ConvShape& s, const std::vector<double>& weight, const float* x, std::size_t n, std::size_t m,
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

inline SparseSample sample(const ConvShape& s, std::size_t outputs, double density, std::mt19937& random, unsigned centroids = 255) {
  return {outputs, s.group_inputs * s.axis[0].kernel * s.axis[1].kernel * s.axis[2].kernel, density, random, centroids};
}

/// Computes y; returns whether it did.
using Way = std::function<bool(const ConvWeight& weight, const ConvArguments& arguments, float* y)>;

/// Checks what a way makes of the convolution times scale, plus bias and addend, clipped to [-4, 4]. Of the activations, those of a `spoilt` one are infinite.
inline void check_way(const Variant& variant, const ConvShape& s, const SparseSample& weight, std::mt19937& random, const Way& way,
                      bool spoilt = false) {
  const auto& a = s.axis;
  const std::size_t outputs = s.group * s.group_outputs;
  const std::size_t box = a[0].output * a[1].output * a[2].output;
  const std::size_t inputs = s.batch * s.group * s.group_inputs * a[0].input * a[1].input * a[2].input;
  const Guarded x(inputs), factor(outputs), bias(outputs), y(s.batch * outputs * box), addend(s.batch * outputs * box);
  const auto fill = [&](const Guarded& values, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) values[i] = std::normal_distribution<float>()(random);
  };
  fill(addend, s.batch * outputs * box);
  fill(x, inputs);
  fill(factor, outputs);
  fill(bias, outputs);
  const bool is_scaled = random() % 2 == 0;
  if (spoilt) x[random() % inputs] = HUGE_VALF;
  const ConvWeight packed(variant, weight.view(), s.group, Winograd::transforms(variant, s));
  if (!way(packed, {x.get(), is_scaled ? factor.get() : nullptr, bias.get(), addend.get(), {-4, 4}}, y.get())) return;

  const std::vector<double> dense = weight.dense();
  // Values and activations are of the order of one, and rounding is of that of sums before they are clipped.
  const double scale = 10 + std::sqrt(static_cast<double>(weight.columns));
  const float* found = y.get();
  for (std::size_t n = 0; n < s.batch; ++n) {
    for (std::size_t m = 0; m < outputs; ++m) {
      for (std::size_t d = 0; d < a[0].output; ++d) {
        for (std::size_t h = 0; h < a[1].output; ++h) {
          for (std::size_t w = 0; w < a[2].output; ++w) {
            const double sum = expected(s, dense, x.get(), n, m, {d, h, w}) * (is_scaled ? factor[m] : 1) + bias[m] + addend[static_cast<std::size_t>(found - y.get())];
            const float value = *found++;
            CHECK(std::isnan(sum) ? std::isnan(value) : check::close(value, std::fmin(std::fmax(sum, -4), 4), scale));
          }
        }
      }
    }
  }
}

/// Checks what Conv makes of it.
inline void check_weight(const Variant& variant, const ConvShape& s, const SparseSample& weight, std::mt19937& random, bool spoilt = false) {
  const auto conv = [&](const ConvWeight& packed, const ConvArguments& arguments, float* y) {
    Scratch scratch;
    Conv(s, packed).run(packed, arguments, Serial(), scratch, y);
    return true;
  };
  check_way(variant, s, weight, random, conv, spoilt);
}

}  // namespace conv_case
