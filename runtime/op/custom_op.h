// From a C++ class to the callbacks by which ONNX Runtime knows an operator.
//
// An operator is a class `Kernel` with
//   static constexpr const char* NAME;
//   static constexpr Input INPUTS[];                  those of type UINT8 are payloads
//   static constexpr abi::Characteristic OUTPUTS[];   all are floats
//   explicit Kernel(const abi::KernelInfo&);
//   void compute(const abi::KernelContext&) const;    from several threads at once
// Both functions may throw; the message is completed with a payload's name and becomes an OrtStatus, since no exception may cross a C
// ABI. The name is that of the payload that is at fault (WeightError), or of the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <string>

#include "abi/kernel_api.h"
#include "abi/ort_abi.h"
#include "op/weight_error.h"

namespace sparsebook::op {

struct Input {
  abi::ElementType type;
  abi::Characteristic characteristic = abi::REQUIRED;
};

/// Runs `body`; whatever it throws becomes a status whose message starts with "sparsebook: weight '<name>': ", the name that of the
/// weight that is at fault, or of `weight` where it is none in particular.
template <class Body>
abi::OrtStatus* guard(const abi::OrtApi* api, const std::string& weight, Body&& body) noexcept {
  const auto status = [&](abi::ErrorCode code, const std::string& name, const char* message) {
    try {
      return abi::make_status(api, code, ("sparsebook: weight '" + name + "': " + message).c_str());
    } catch (const std::bad_alloc&) {
      return abi::make_status(api, code, message);
    }
  };
  try {
    body();
    return nullptr;
  } catch (const WeightError& error) {
    return status(abi::ORT_INVALID_ARGUMENT, error.weight(), error.what());
  } catch (const abi::OperatorError& error) {
    return status(abi::ORT_INVALID_ARGUMENT, weight, error.what());
  } catch (const std::bad_alloc&) {
    return status(abi::ORT_FAIL, weight, "out of memory");
  } catch (const std::exception& error) {
    return status(abi::ORT_FAIL, weight, error.what());
  } catch (...) {
    return status(abi::ORT_FAIL, weight, "unknown error");
  }
}

template <class Kernel>
constexpr std::size_t first_payload() {
  for (std::size_t index = 0; index < std::size(Kernel::INPUTS); ++index) {
    if (Kernel::INPUTS[index].type == abi::UINT8) return index;
  }
  return std::size(Kernel::INPUTS);
}

/// An operator for nodes of one execution provider. ONNX Runtime hands the callbacks back to them, by which they find the rest.
struct CustomOp {
  abi::OrtCustomOp callbacks;
  const char* provider;
};

/// The operator of a kernel class, for CustomOpDomain_Add. `version` is that of the ABI, which ONNX Runtime must have;
/// `provider` must outlive the operator.
template <class Kernel>
CustomOp make_custom_op(const char* provider, std::uint32_t version) {
  static_assert(first_payload<Kernel>() < std::size(Kernel::INPUTS), "an input is a payload");
  static_assert(offsetof(CustomOp, callbacks) == 0, "a pointer to the callbacks is one to the operator");
  struct Instance {
    const abi::OrtApi* api;
    std::uint32_t version;
    std::string weight;
    std::unique_ptr<const Kernel> kernel;
  };
  using Op = const abi::OrtCustomOp*;
  abi::OrtCustomOp made{};
  made.version = version;
  // ONNX Runtime calls the V2 functions where they are given; the first ones stay null.
  made.CreateKernelV2 = [](Op op, const abi::OrtApi* api, const abi::OrtKernelInfo* node, void** kernel) -> abi::OrtStatus* {
    std::string weight = "?";
    return guard(api, weight, [&] {
      const abi::KernelInfo info(api, node);
      weight = info.input_name(first_payload<Kernel>());
      auto instance = std::make_unique<Instance>(Instance{api, op->version, weight, std::make_unique<const Kernel>(info)});
      *kernel = instance.release();
    });
  };
  made.KernelComputeV2 = [](void* kernel, abi::OrtKernelContext* context) -> abi::OrtStatus* {
    const Instance& instance = *static_cast<const Instance*>(kernel);
    return guard(instance.api, instance.weight,
                 [&] { instance.kernel->compute(abi::KernelContext(instance.api, instance.version, context)); });
  };
  made.KernelDestroy = [](void* kernel) { delete static_cast<Instance*>(kernel); };
  made.GetName = [](Op) { return Kernel::NAME; };
  made.GetExecutionProviderType = [](Op op) { return reinterpret_cast<const CustomOp*>(op)->provider; };
  made.GetInputTypeCount = [](Op) -> std::size_t { return std::size(Kernel::INPUTS); };
  made.GetInputType = [](Op, std::size_t index) -> int { return Kernel::INPUTS[index].type; };
  made.GetInputCharacteristic = [](Op, std::size_t index) -> int { return Kernel::INPUTS[index].characteristic; };
  made.GetInputMemoryType = [](Op, std::size_t) { return 0; };  // OrtMemTypeDefault
  made.GetOutputTypeCount = [](Op) -> std::size_t { return std::size(Kernel::OUTPUTS); };
  made.GetOutputType = [](Op, std::size_t) -> int { return abi::FLOAT; };
  made.GetOutputCharacteristic = [](Op, std::size_t index) -> int { return Kernel::OUTPUTS[index]; };
  made.GetVariadicInputMinArity = made.GetVariadicInputHomogeneity = [](Op) { return 1; };
  made.GetVariadicOutputMinArity = made.GetVariadicOutputHomogeneity = [](Op) { return 1; };
  return {made, provider};
}

}  // namespace sparsebook::op
