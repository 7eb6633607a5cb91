// ONNX Runtime's stable C ABI, mirrored by hand: only the slots of `OrtApi` that are used, and `OrtCustomOp`.
//
// ONNX Runtime promises that a slot, once released, keeps its place and its signature in every later version. The numbers were
// taken with offsetof() from the header of API 29 and hold from API 16 on (all slots here are of API 16 or older); the
// operators' tests call all but GetErrorMessage and ReleaseCustomOpDomain, which only failures of ONNX Runtime itself reach.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsebook::abi {

/// The version asked for: the first with CreateKernelV2 and KernelComputeV2, which return errors instead of throwing them
/// across the ABI. ONNX Runtime 1.16 or newer.
inline constexpr std::uint32_t API_VERSION = 16;

// Opaque types, named as in ONNX Runtime.
struct OrtStatus;
struct OrtKernelInfo;
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
  KernelInfoGetAttributeArray_float = 162,
  KernelInfoGetAttributeArray_int64 = 163,
  KernelInfo_GetInputName = 232,
  KernelInfoGetConstantInput_tensor = 249,
};

enum ErrorCode : int { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };

/// ONNXTensorElementDataType.
enum ElementType : int { UNDEFINED = 0, FLOAT = 1, UINT8 = 2, INT32 = 6, INT64 = 7 };

/// OrtCustomOpInputOutputCharacteristic.
enum Characteristic : int { REQUIRED = 0, OPTIONAL = 1 };

/// The callbacks by which ONNX Runtime knows an operator. Fields up to `KernelComputeV2` are those of version 16; ONNX Runtime
/// reads `later` only from a struct that says a later version.
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

/// Calls a slot of the table.
template <Slot SLOT, class Result = OrtStatus*, class... Arguments>
Result call(const OrtApi* api, Arguments... arguments) {
  using Function = Result (*)(Arguments...);
  return reinterpret_cast<Function>(api[static_cast<unsigned>(SLOT)])(arguments...);
}

}  // namespace sparsebook::abi
