#include "op/conv_op.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/variants.h"
#include "op/activation.h"
#include "op/broadcast.h"
#include "op/matrix_form.h"
#include "op/session_threads.h"

namespace sparsebook::op {
namespace {

// Bounds every product of two attributes, or of an attribute and a dimension of the weight (below 2^32), to 63 bits.
constexpr std::int64_t MAX_ATTRIBUTE = (std::int64_t{1} << 30) - 1;

void check_list(const std::optional<abi::Shape>& values, const char* name, std::size_t size, std::int64_t least) {
  if (!values) return;
  const auto in_range = [&](std::int64_t value) { return value >= least && value <= MAX_ATTRIBUTE; };
  if (values->size() != size || !std::all_of(values->begin(), values->end(), in_range)) {
    throw abi::OperatorError("Conv's " + std::string(name) + " " + abi::to_string(*values) + " must be " + std::to_string(size) +
                             " integers of at least " + std::to_string(least));
  }
}

std::size_t at(const std::optional<abi::Shape>& values, std::size_t axis) {
  return values ? static_cast<std::size_t>((*values)[axis]) : 1;
}

}  // namespace

ConvAttributes::ConvAttributes(const abi::KernelInfo& info)
    : auto_pad(info.attribute_string("auto_pad").value_or("NOTSET")),
      group(info.attribute_int("group").value_or(1)),
      kernel_shape(info.attribute_ints("kernel_shape")),
      pads(info.attribute_ints("pads")),
      strides(info.attribute_ints("strides")),
      dilations(info.attribute_ints("dilations")) {}

void ConvAttributes::check(const abi::Shape& weight) const {
  const std::size_t rank = weight.size();
  if (rank < 3 || rank > 2 + kernels::SPATIAL) {
    throw abi::OperatorError("the weight's shape " + abi::to_string(weight) + " has not one to three spatial axes");
  }
  const abi::Shape kernel(weight.begin() + 2, weight.end());
  if (kernel_shape && *kernel_shape != kernel) {
    throw abi::OperatorError("the weight's shape is " + abi::to_string(weight) + ", but Conv's kernel_shape " +
                             abi::to_string(*kernel_shape));
  }
  if (group < 1 || weight[0] % group != 0) {
    throw abi::OperatorError("Conv's group " + std::to_string(group) + " does not divide the weight's " +
                             std::to_string(weight[0]) + " output channels");
  }
  if (auto_pad != "NOTSET" && auto_pad != "SAME_UPPER" && auto_pad != "SAME_LOWER" && auto_pad != "VALID") {
    throw abi::OperatorError("Conv's auto_pad '" + auto_pad + "' is not known");
  }
  check_list(pads, "pads", 2 * (rank - 2), 0);
  check_list(strides, "strides", rank - 2, 1);
  check_list(dilations, "dilations", rank - 2, 1);
}

kernels::ConvShape ConvAttributes::shape(const abi::Shape& x, const abi::Shape& weight) const {
  const std::size_t spatial = weight.size() - 2;
  if (x.size() != weight.size() || x[1] != group * weight[1]) {
    throw abi::OperatorError("X has shape " + abi::to_string(x) + "; a weight of shape " + abi::to_string(weight) + " in " +
                             std::to_string(group) + " groups wants " + std::to_string(weight.size()) + " axes and " +
                             std::to_string(group * weight[1]) + " channels");
  }
  kernels::ConvShape result;
  result.batch = static_cast<std::size_t>(x[0]);
  result.group = static_cast<std::size_t>(group);
  result.group_inputs = static_cast<std::size_t>(weight[1]);
  result.group_outputs = static_cast<std::size_t>(weight[0] / group);
  for (std::size_t a = 0; a < spatial; ++a) {
    kernels::ConvAxis& axis = result.axis[kernels::SPATIAL - spatial + a];
    axis.input = static_cast<std::size_t>(x[2 + a]);
    axis.kernel = static_cast<std::size_t>(weight[2 + a]);
    axis.stride = at(strides, a);
    axis.dilation = at(dilations, a);
    const std::size_t reach = (axis.kernel - 1) * axis.dilation + 1;
    if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      axis.output = (axis.input + axis.stride - 1) / axis.stride;
      const std::size_t needed = axis.output == 0 ? 0 : (axis.output - 1) * axis.stride + reach;
      const std::size_t padding = needed > axis.input ? needed - axis.input : 0;
      axis.pad = auto_pad == "SAME_UPPER" ? padding / 2 : padding - padding / 2;
      continue;
    }
    const bool padded = auto_pad == "NOTSET" && pads;
    axis.pad = padded ? static_cast<std::size_t>((*pads)[a]) : 0;
    const std::size_t whole = axis.input + axis.pad + (padded ? static_cast<std::size_t>((*pads)[spatial + a]) : 0);
    if (reach > whole) {
      throw abi::OperatorError("X has shape " + abi::to_string(x) + ", whose axis " + std::to_string(2 + a) + " is " +
                               std::to_string(whole) + " long with its padding, but the kernel reaches over " +
                               std::to_string(reach));
    }
    axis.output = (whole - reach) / axis.stride + 1;
  }
  return result;
}

bool ConvAttributes::has_unit_steps() const {
  const auto is_one = [](std::int64_t value) { return value == 1; };
  const auto are_ones = [&](const std::optional<abi::Shape>& values) { return !values || std::all_of(values->begin(), values->end(), is_one); };
  return are_ones(strides) && are_ones(dilations);
}

namespace {

// The values of an optional input that has one for every output channel; null where it is left out.
const float* a_value_a_channel(const abi::KernelContext& context, std::size_t index, const char* name, std::int64_t channels) {
  const auto given = context.optional_input(index);
  if (given && given->shape != abi::Shape{channels}) {
    throw abi::OperatorError(std::string(name) + " has shape " + abi::to_string(given->shape) + ", which must be " + abi::to_string({channels}));
  }
  return given ? given->floats() : nullptr;
}

// Winograd's transforms for what a weight of this shape convolves; null where there are none.
const kernels::WinogradTransforms* transforms_of(const abi::Shape& weight, const ConvAttributes& attributes) {
  if (weight.size() > 4 || !attributes.has_unit_steps()) return nullptr;
  const std::size_t high = weight.size() == 4 ? static_cast<std::size_t>(weight[2]) : 1;
  return kernels::Winograd::transforms(kernels::chosen_variant(), high, static_cast<std::size_t>(weight.back()));
}

}  // namespace

ConvolvedWeight::ConvolvedWeight(abi::Shape shape, const kernels::SparseMatrix& matrix, const ConvAttributes& attributes)
    : DecodedWeight(shape),
      weight_(kernels::chosen_variant(), matrix, static_cast<std::size_t>(attributes.group), transforms_of(shape, attributes)) {}

Conv::Conv(const abi::KernelInfo& info)
    : attributes_(info),
      activation_(read_activation(info)),
      weight_(
          info, 1, "conv " + std::to_string(attributes_.group) + (attributes_.has_unit_steps() ? " unit steps" : ""),
          [this](const abi::Shape& shape) {
            attributes_.check(shape);
            refuse_empty(shape);
          },
          [this](const decode::Payload& payload) {
            const decode::Rows rows = read_rows(payload, decode::Orientation::AS_STORED);
            return std::make_shared<const ConvolvedWeight>(shape_of(payload), matrix_of(rows, payload.centroids), attributes_);
          }),
      scratch_(shared_scratch()) {}

std::shared_ptr<const Conv::Prepared> Conv::prepare(const abi::Shape& x, const std::shared_ptr<const ConvolvedWeight>& weight) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!prepared_ || prepared_->x != x || prepared_->weight != weight) {
    const kernels::ConvShape shape = attributes_.shape(x, weight->shape());
    abi::Shape output = {x[0], weight->shape()[0]};
    for (std::size_t a = kernels::SPATIAL - (weight->shape().size() - 2); a < kernels::SPATIAL; ++a) {
      output.push_back(static_cast<std::int64_t>(shape.axis[a].output));
    }
    prepared_ = std::make_shared<const Prepared>(Prepared{weight, x, output, kernels::Conv(shape, weight->weight())});
  }
  return prepared_;
}

void Conv::compute(const abi::KernelContext& context) const {
  const auto form = weight_.get(context);
  const abi::Tensor x = context.input(0);
  const auto prepared = prepare(x.shape, form);
  const float* const bias = a_value_a_channel(context, 2, "B", form->shape()[0]);
  const float* const scale = a_value_a_channel(context, 4, "S", form->shape()[0]);
  const SessionThreads threads(context);
  const auto addend = context.optional_input(3);
  kernels::ConvArguments arguments = {x.floats(), scale, bias, nullptr, activation_};
  if (!addend || addend->shape == prepared->output) {
    if (addend) arguments.addend = addend->floats();
    prepared->conv.run(form->weight(), arguments, threads, *scratch_, context.output(0, prepared->output));
    return;
  }
  // An Add that broadcasts. Nothing is fused then, and the result may be larger than the convolution's.
  float* const y = context.output(0, broadcast_shape(prepared->output, addend->shape));
  std::size_t bytes = sizeof(float);
  for (const std::int64_t size : prepared->output) bytes *= static_cast<std::size_t>(size);
  const auto sums = scratch_->lend(bytes);
  arguments.activation = {};
  prepared->conv.run(form->weight(), arguments, threads, *scratch_, sums.floats());
  add_broadcast({sums.floats(), prepared->output}, {addend->floats(), addend->shape}, activation_, y);
}

}  // namespace sparsebook::op
