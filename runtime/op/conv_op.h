// sparsebook::Conv: convolution over one to three spatial axes with a sparse weight.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "abi/kernel_api.h"
#include "kernels/conv.h"
#include "kernels/scratch.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

/// ONNX's attributes of Conv, as the node gives them.
struct ConvAttributes {
  explicit ConvAttributes(const abi::KernelInfo& info);

  /// Throws OperatorError if they do not fit a weight of this shape.
  void check(const abi::Shape& weight) const;

  /// The convolution of X by the weight. Throws OperatorError if the two do not fit.
  [[nodiscard]] kernels::ConvShape shape(const abi::Shape& x, const abi::Shape& weight) const;

  /// Whether strides and dilations are one.
  [[nodiscard]] bool has_unit_steps() const;

  std::string auto_pad;
  std::int64_t group;
  std::optional<abi::Shape> kernel_shape;
  std::optional<abi::Shape> pads;       ///< those before every axis, then those behind
  std::optional<abi::Shape> strides;
  std::optional<abi::Shape> dilations;
};

/// The weight of a convolution, and its groups.
class ConvolvedWeight final : public DecodedWeight {
 public:
  ConvolvedWeight(abi::Shape shape, const kernels::SparseMatrix& matrix, const ConvAttributes& attributes);
  [[nodiscard]] const kernels::ConvWeight& weight() const { return weight_; }
  [[nodiscard]] const char* form() const override { return weight_.form(); }
  [[nodiscard]] std::size_t bytes() const override { return weight_.bytes(); }

 private:
  kernels::ConvWeight weight_;
};

class Conv {
 public:
  static constexpr const char* NAME = "Conv";
  static constexpr Input INPUTS[] = {{abi::FLOAT}, {abi::UINT8}, {abi::FLOAT, abi::OPTIONAL}, {abi::FLOAT, abi::OPTIONAL}, {abi::FLOAT, abi::OPTIONAL}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::REQUIRED};

  explicit Conv(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  /// A convolution prepared for one shape of X and one weight, which it keeps alive: another weight at the same address would be taken for
  /// it. `output` is its result's shape.
  struct Prepared {
    std::shared_ptr<const ConvolvedWeight> weight;
    abi::Shape x;
    abi::Shape output;
    kernels::Conv conv;
  };
  [[nodiscard]] std::shared_ptr<const Prepared> prepare(const abi::Shape& x, const std::shared_ptr<const ConvolvedWeight>& weight) const;

  ConvAttributes attributes_;
  kernels::Activation activation_;
  Weight<ConvolvedWeight> weight_;
  std::shared_ptr<kernels::Scratch> scratch_;
  // The latest one: X seldom changes its shape.
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Prepared> prepared_;
};

}  // namespace sparsebook::op
