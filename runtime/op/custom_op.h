// From a C++ class to the callbacks by which ONNX Runtime knows an operator.
//
// An operator is a class `Kernel` with
//   static constexpr const char* NAME;
//   static constexpr Input INPUTS[];                  the one of type UINT8 is the payload
//   explicit Kernel(const abi::KernelInfo&);
//   void compute(const abi::KernelContext&) const;    from several threads at once
// and one float output. Both may throw; the message is completed with the payload's name and becomes an OrtStatus, since no
// exception may cross a C ABI.
#pragma once

#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <string>

#include "abi/kernel_api.h"
#include "abi/ort_abi.h"
#include "decode/error.h"

namespace sparsebook::op {

struct Input {
  abi::ElementType type;
  abi::Characteristic characteristic = abi::REQUIRED;
};

/// Runs `body`; whatever it throws becomes a status whose message starts with "sparsebook: weight '<name>': ".
template <class Body>
abi::OrtStatus* guard(const abi::OrtApi* api, const std::string& weight, Body&& body) noexcept {
  const auto status = [&](abi::ErrorCode code, const char* message) {
    try {
      return abi::make_status(api, code, ("sparsebook: weight '" + weight + "': " + message).c_str());
    } catch (const std::bad_alloc&) {
      return abi::make_status(api, code, message);
    }
  };
  try {
    body();
    return nullptr;
  } catch (const abi::OperatorError& error) {
    return status(abi::ORT_INVALID_ARGUMENT, error.what());
  } catch (const decode::PayloadError& error) {
    return status(abi::ORT_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return status(abi::ORT_FAIL, "out of memory");
  } catch (const std::exception& error) {
    return status(abi::ORT_FAIL, error.what());
  } catch (...) {
    return status(abi::ORT_FAIL, "unknown error");
  }
}

template <class Kernel>
constexpr std::size_t payload_input() {
  for (std::size_t index = 0; index < std::size(Kernel::INPUTS); ++index) {
    if (Kernel::INPUTS[index].type == abi::UINT8) return index;
  }
  return std::size(Kernel::INPUTS);
}

/// The operator of a kernel class, for CustomOpDomain_Add. Lives as long as the library.
template <class Kernel>
const abi::OrtCustomOp* custom_op() {
  static_assert(payload_input<Kernel>() < std::size(Kernel::INPUTS), "one input is the payload");
  struct Instance {
    const abi::OrtApi* api;
    std::string weight;
    std::unique_ptr<const Kernel> kernel;
  };
  using Op = const abi::OrtCustomOp*;
  static const abi::OrtCustomOp op = [] {
    abi::OrtCustomOp made{};
    made.version = abi::API_VERSION;
    // ONNX Runtime calls the V2 functions where they are given; the first ones stay null.
    made.CreateKernelV2 = [](Op, const abi::OrtApi* api, const abi::OrtKernelInfo* node, void** kernel) -> abi::OrtStatus* {
      std::string weight = "?";
      return guard(api, weight, [&] {
        const abi::KernelInfo info(api, node);
        weight = info.input_name(payload_input<Kernel>());
        auto instance = std::make_unique<Instance>(Instance{api, weight, std::make_unique<const Kernel>(info)});
        *kernel = instance.release();
      });
    };
    made.KernelComputeV2 = [](void* kernel, abi::OrtKernelContext* context) -> abi::OrtStatus* {
      const Instance& instance = *static_cast<const Instance*>(kernel);
      return guard(instance.api, instance.weight,
                   [&] { instance.kernel->compute(abi::KernelContext(instance.api, context)); });
    };
    made.KernelDestroy = [](void* kernel) { delete static_cast<Instance*>(kernel); };
    made.GetName = [](Op) { return Kernel::NAME; };
    made.GetExecutionProviderType = [](Op) { return "CPUExecutionProvider"; };
    made.GetInputTypeCount = [](Op) -> std::size_t { return std::size(Kernel::INPUTS); };
    made.GetInputType = [](Op, std::size_t index) -> int { return Kernel::INPUTS[index].type; };
    made.GetInputCharacteristic = [](Op, std::size_t index) -> int { return Kernel::INPUTS[index].characteristic; };
    made.GetInputMemoryType = [](Op, std::size_t) { return 0; };  // OrtMemTypeDefault
    made.GetOutputTypeCount = [](Op) -> std::size_t { return 1; };
    made.GetOutputType = [](Op, std::size_t) -> int { return abi::FLOAT; };
    made.GetOutputCharacteristic = [](Op, std::size_t) -> int { return abi::REQUIRED; };
    made.GetVariadicInputMinArity = made.GetVariadicInputHomogeneity = [](Op) { return 1; };
    made.GetVariadicOutputMinArity = made.GetVariadicOutputHomogeneity = [](Op) { return 1; };
    return made;
  }();
  return &op;
}

}  // namespace sparsebook::op
