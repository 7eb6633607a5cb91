#include "ep/factory.h"

#include <new>

#include "abi/kernel_api.h"
#include "ep/provider.h"
#include "op/domain.h"

namespace sparsebook::ep {
namespace {

abi::OrtStatus* out_of_memory(const abi::OrtApi* api) {
  return abi::make_status(api, abi::ORT_FAIL, "sparsebook: out of memory");
}

/// The first CPU; what is computed there is the same on all of them.
abi::OrtStatus* find_device(Factory& factory, const abi::OrtHardwareDevice* const* devices, std::size_t count,
                            abi::OrtEpDevice** found) {
  using abi::Slot;
  const abi::OrtApi* api = factory.runtime.api;
  for (std::size_t i = 0; i < count; ++i) {
    if (abi::call<Slot::HardwareDevice_Type, int>(api, devices[i]) != abi::CPU) continue;
    // ONNX Runtime copies the options into those of a session that takes the device, where the other door sees them.
    abi::OrtKeyValuePairs* options = nullptr;
    abi::call<Slot::CreateKeyValuePairs, void>(api, &options);
    abi::call<Slot::AddKeyValuePair, void>(api, options, op::BROUGHT_OPTION, "1");
    const auto* provider_api = abi::call<Slot::GetEpApi, const abi::OrtEpApi*>(api);
    abi::OrtStatus* status = abi::call<abi::EpSlot::CreateEpDevice>(
        provider_api, static_cast<abi::OrtEpFactory*>(&factory), devices[i],
        static_cast<const abi::OrtKeyValuePairs*>(nullptr), static_cast<const abi::OrtKeyValuePairs*>(options), found);
    abi::call<Slot::ReleaseKeyValuePairs, void>(api, options);
    return status;
  }
  return nullptr;
}

}  // namespace

Factory::Factory(const abi::Versioned& onnxruntime) : abi::OrtEpFactory{}, runtime(onnxruntime) {
  version = abi::PROVIDER_VERSION;
  GetName = [](const abi::OrtEpFactory*) { return op::PROVIDER_NAME; };
  GetVendor = [](const abi::OrtEpFactory*) { return "Sparsebook"; };
  GetVendorId = [](const abi::OrtEpFactory*) -> std::uint32_t { return 0; };  // there is no such hardware
  GetVersion = [](const abi::OrtEpFactory*) { return SPARSEBOOK_VERSION; };
  GetSupportedDevices = [](abi::OrtEpFactory* self, const abi::OrtHardwareDevice* const* devices, std::size_t count,
                           abi::OrtEpDevice** found, std::size_t most, std::size_t* found_count) -> abi::OrtStatus* {
    *found_count = 0;
    if (most == 0) return nullptr;
    abi::OrtEpDevice* device = nullptr;
    abi::OrtStatus* status = find_device(*static_cast<Factory*>(self), devices, count, &device);
    if (device != nullptr) found[(*found_count)++] = device;
    return status;
  };
  CreateEp = [](abi::OrtEpFactory* self, const abi::OrtHardwareDevice* const*, const abi::OrtKeyValuePairs* const*,
                std::size_t, const abi::OrtSessionOptions*, const abi::OrtLogger*, abi::OrtEp** provider) -> abi::OrtStatus* {
    const abi::OrtApi* api = static_cast<Factory*>(self)->runtime.api;
    *provider = new (std::nothrow) Provider(api);
    return *provider == nullptr ? out_of_memory(api) : nullptr;
  };
  ReleaseEp = [](abi::OrtEpFactory*, abi::OrtEp* provider) { delete static_cast<Provider*>(provider); };
  // Weights and activations are where the CPU provider has them: no allocator, no transfer, no stream of our own.
  CreateAllocator = [](abi::OrtEpFactory*, const abi::OrtMemoryInfo*, const abi::OrtKeyValuePairs*,
                       abi::OrtAllocator** allocator) -> abi::OrtStatus* {
    *allocator = nullptr;
    return nullptr;
  };
  ReleaseAllocator = [](abi::OrtEpFactory*, abi::OrtAllocator*) {};
  CreateDataTransfer = [](abi::OrtEpFactory*, abi::OrtDataTransferImpl** transfer) -> abi::OrtStatus* {
    *transfer = nullptr;
    return nullptr;
  };
  IsStreamAware = [](const abi::OrtEpFactory*) { return false; };
  GetNumCustomOpDomains = [](abi::OrtEpFactory*, std::size_t* count) -> abi::OrtStatus* {
    *count = 1;
    return nullptr;
  };
  GetCustomOpDomains = [](abi::OrtEpFactory* self, abi::OrtCustomOpDomain** domains,
                          std::size_t count) noexcept -> abi::OrtStatus* {
    const abi::Versioned& known = static_cast<Factory*>(self)->runtime;
    if (count == 0) return nullptr;
    try {
      return op::domain_of(known, &domains[0]);
    } catch (const std::bad_alloc&) {
      return out_of_memory(known.api);
    }
  };
}

}  // namespace sparsebook::ep
