// ONNX Runtime's C ABI for execution providers that come as libraries, mirrored by hand as in abi/ort_abi.h: `OrtEpFactory` and
// `OrtEp` as version 24 has them, and the slots of `OrtEpApi` that are used. Places and sizes were taken with offsetof() from the
// header of API 29; the tests register the library with ONNX Runtime 1.24 and newer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/ort_abi.h"

namespace sparsebook::abi {

// Opaque types, named as in ONNX Runtime.
struct OrtEpDevice;
struct OrtEpGraphSupportInfo;
struct OrtGraph;
struct OrtHardwareDevice;
struct OrtKeyValuePairs;
struct OrtLogger;
struct OrtMemoryInfo;
struct OrtNode;
struct OrtAllocator;
struct OrtDataTransferImpl;

using OrtEpApi = void (*const)();  ///< the first of a table of function pointers, from Slot::GetEpApi

/// Places in the table of `OrtEpApi`.
enum class EpSlot : unsigned {
  CreateEpDevice = 0,
  EpGraphSupportInfo_AddSingleNode = 3,
};

enum HardwareDeviceType : int { CPU = 0 };

/// An execution provider of one session. All but the callbacks that are named are optional and stay null.
struct OrtEp {
  std::uint32_t version;
  const char* (*GetName)(const OrtEp*);
  OrtStatus* (*GetCapability)(OrtEp*, const OrtGraph*, OrtEpGraphSupportInfo*);
  void* optional[12];  ///< Compile ... IsConcurrentRunSupported
};
static_assert(sizeof(void*) != 8 || sizeof(OrtEp) == 120);

/// What ONNX Runtime asks for devices, operators and execution providers.
struct OrtEpFactory {
  std::uint32_t version;
  const char* (*GetName)(const OrtEpFactory*);
  const char* (*GetVendor)(const OrtEpFactory*);
  OrtStatus* (*GetSupportedDevices)(OrtEpFactory*, const OrtHardwareDevice* const* devices, std::size_t count,
                                    OrtEpDevice** found, std::size_t most, std::size_t* found_count);
  OrtStatus* (*CreateEp)(OrtEpFactory*, const OrtHardwareDevice* const* devices, const OrtKeyValuePairs* const* metadata,
                         std::size_t count, const OrtSessionOptions*, const OrtLogger*, OrtEp**);
  void (*ReleaseEp)(OrtEpFactory*, OrtEp*);
  std::uint32_t (*GetVendorId)(const OrtEpFactory*);
  const char* (*GetVersion)(const OrtEpFactory*);
  void* ValidateCompiledModelCompatibilityInfo;  ///< optional, null
  OrtStatus* (*CreateAllocator)(OrtEpFactory*, const OrtMemoryInfo*, const OrtKeyValuePairs* options, OrtAllocator**);
  void (*ReleaseAllocator)(OrtEpFactory*, OrtAllocator*);
  OrtStatus* (*CreateDataTransfer)(OrtEpFactory*, OrtDataTransferImpl**);
  bool (*IsStreamAware)(const OrtEpFactory*);
  void* optional[3];  ///< CreateSyncStreamForDevice ... CreateExternalResourceImporterForDevice: null
  OrtStatus* (*GetNumCustomOpDomains)(OrtEpFactory*, std::size_t* count);
  OrtStatus* (*GetCustomOpDomains)(OrtEpFactory*, OrtCustomOpDomain** domains, std::size_t count);
};
static_assert(sizeof(void*) != 8 || sizeof(OrtEpFactory) == 144);

/// Calls a slot of the table.
template <EpSlot SLOT, class Result = OrtStatus*, class... Arguments>
Result call(const OrtEpApi* api, Arguments... arguments) {
  using Function = Result (*)(Arguments...);
  return reinterpret_cast<Function>(api[static_cast<unsigned>(SLOT)])(arguments...);
}

}  // namespace sparsebook::abi
