// ONNX Runtime's stable C ABI, mirrored by hand: only the slots of `OrtApi` that are used, and `OrtCustomOp`.
//
// ONNX Runtime promises that a slot, once released, keeps its place and its signature in every later version. The numbers were
// taken with offsetof() from the header of API 29; those without a version are of API 16 or older. The operators' tests call
// all but GetErrorMessage and ReleaseCustomOpDomain, which only failures of ONNX Runtime itself reach.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsebook::abi {

// Versions of the ABI; version n came with ONNX Runtime 1.n.
/// The least that serves: the first with CreateKernelV2 and KernelComputeV2, which return errors instead of throwing them
/// across the ABI.
inline constexpr std::uint32_t LEAST_VERSION = 16;
/// The first that lends a kernel the threads of its session.
inline constexpr std::uint32_t THREADS_VERSION = 17;
/// The first whose execution providers may bring the schemas of their operators.
inline constexpr std::uint32_t PROVIDER_VERSION = 24;

// Opaque types, named as in ONNX Runtime.
struct OrtStatus;
struct OrtKernelInfo;
struct OrtLogger;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtSessionOptions;
struct OrtCustomOpDomain;

using OrtApi = void (*const)();  ///< the first of a table of function pointers

struct OrtApiBase {
  const OrtApi* (*GetApi)(std::uint32_t version);
  const char* (*GetVersionString)();
};

/// Places in the table of `OrtApi`.
enum class Slot : unsigned {
  CreateStatus = 0,
  GetErrorMessage = 2,
  CreateCustomOpDomain = 26,
  CustomOpDomain_Add = 27,
  AddCustomOpDomain = 28,
  GetTensorMutableData = 51,
  GetTensorElementType = 60,
  GetDimensionsCount = 61,
  GetDimensions = 62,
  GetTensorTypeAndShape = 65,
  KernelInfoGetAttribute_float = 85,
  KernelInfoGetAttribute_int64 = 86,
  KernelInfoGetAttribute_string = 87,
  KernelContext_GetInputCount = 88,
  KernelContext_GetInput = 90,
  KernelContext_GetOutput = 91,
  ReleaseStatus = 93,
  ReleaseTensorTypeAndShapeInfo = 99,
  ReleaseCustomOpDomain = 101,
  AddSessionConfigEntry = 130,
  KernelInfoGetAttributeArray_float = 162,
  KernelInfoGetAttributeArray_int64 = 163,
  KernelInfo_GetInputName = 232,
  HasSessionConfigEntry = 237,
  KernelInfo_GetLogger = 245,
  Logger_LogMessage = 247,
  KernelInfoGetConstantInput_tensor = 249,
  KernelContext_ParallelFor = 274,  // THREADS_VERSION
  // PROVIDER_VERSION, or somewhat older
  CreateKeyValuePairs = 295,
  AddKeyValuePair = 296,
  ReleaseKeyValuePairs = 300,
  HardwareDevice_Type = 307,
  GetEpApi = 317,
  Graph_GetNumNodes = 344,
  Graph_GetNodes = 345,
  Node_GetDomain = 351,
};

enum ErrorCode : int { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };

/// ONNXTensorElementDataType.
enum ElementType : int { UNDEFINED = 0, FLOAT = 1, UINT8 = 2, INT32 = 6, INT64 = 7 };

/// OrtCustomOpInputOutputCharacteristic.
enum Characteristic : int { REQUIRED = 0, OPTIONAL = 1 };

/// The callbacks by which ONNX Runtime knows an operator. Fields up to `KernelComputeV2` are those of version 16; the later ones
/// may be null whatever version the struct says.
struct OrtCustomOp {
  std::uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  int (*GetInputType)(const OrtCustomOp*, std::size_t index);
  std::size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, std::size_t index);
  std::size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  void (*KernelDestroy)(void* kernel);
  int (*GetInputCharacteristic)(const OrtCustomOp*, std::size_t index);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, std::size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp*, std::size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  void* later[7];  ///< InferOutputShapeFn ... ReleaseAliasMap: null
};
static_assert(sizeof(void*) != 8 || sizeof(OrtCustomOp) == 208);

/// A table of a known version.
struct Versioned {
  const OrtApi* api;  ///< null where ONNX Runtime is older than LEAST_VERSION
  std::uint32_t version;
};

/// The table of the newest version that both the mirror and ONNX Runtime know.
[[nodiscard]] Versioned newest_api(const OrtApiBase* base) noexcept;

/// Calls a slot of the table.
template <Slot SLOT, class Result = OrtStatus*, class... Arguments>
Result call(const OrtApi* api, Arguments... arguments) {
  using Function = Result (*)(Arguments...);
  return reinterpret_cast<Function>(api[static_cast<unsigned>(SLOT)])(arguments...);
}

}  // namespace sparsebook::abi
