// The library's door for every ONNX Runtime and every binding that can register operators.
#include <map>
#include <mutex>
#include <string>

#include "abi/kernel_api.h"
#include "abi/ort_abi.h"
#include "op/conv_op.h"
#include "op/custom_op.h"
#include "op/decode_op.h"
#include "op/gather_op.h"
#include "op/linear_op.h"

#if defined(_WIN32)
#define SPARSEBOOK_EXPORT extern "C" __declspec(dllexport)
#else
#define SPARSEBOOK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace sparsebook::op {
namespace {

// One domain for each ONNX Runtime in the process. Sessions refer to it without owning it, so it lives as long as the library.
abi::OrtStatus* domain_of(const abi::OrtApi* api, abi::OrtCustomOpDomain** domain) {
  static std::mutex mutex;
  static std::map<const abi::OrtApi*, abi::OrtCustomOpDomain*> domains;
  const std::lock_guard<std::mutex> lock(mutex);
  abi::OrtCustomOpDomain*& known = domains[api];
  if (known == nullptr) {
    using abi::Slot;
    abi::OrtCustomOpDomain* made = nullptr;
    if (abi::OrtStatus* status = abi::call<Slot::CreateCustomOpDomain>(api, "sparsebook", &made)) return status;
    for (const abi::OrtCustomOp* op :
         {custom_op<Decode>(), custom_op<Gemm>(), custom_op<MatMul>(), custom_op<Conv>(), custom_op<Gather>()}) {
      if (abi::OrtStatus* status = abi::call<Slot::CustomOpDomain_Add>(api, made, op)) {
        abi::call<Slot::ReleaseCustomOpDomain, void>(api, made);
        return status;
      }
    }
    known = made;
  }
  *domain = known;
  return nullptr;
}

abi::OrtStatus* register_operators(abi::OrtSessionOptions* options, const abi::OrtApiBase* base) {
  const abi::OrtApi* api = base->GetApi(abi::API_VERSION);
  if (api == nullptr) {
    const std::string message = "sparsebook: ONNX Runtime 1.16 or newer is needed, this is " + std::string(base->GetVersionString());
    return abi::make_status(base->GetApi(1), abi::ORT_FAIL, message.c_str());
  }
  abi::OrtCustomOpDomain* domain = nullptr;
  if (abi::OrtStatus* status = domain_of(api, &domain)) return status;
  return abi::call<abi::Slot::AddCustomOpDomain>(api, options, domain);
}

}  // namespace
}  // namespace sparsebook::op

SPARSEBOOK_EXPORT sparsebook::abi::OrtStatus* RegisterCustomOps(sparsebook::abi::OrtSessionOptions* options,
                                                                const sparsebook::abi::OrtApiBase* base) noexcept {
  try {
    return sparsebook::op::register_operators(options, base);
  } catch (...) {
    return sparsebook::abi::make_status(base->GetApi(1), sparsebook::abi::ORT_FAIL, "sparsebook: out of memory");
  }
}
