// The library's door for every ONNX Runtime and every binding that can register operators.
#include <string>

#include "abi/export.h"
#include "abi/kernel_api.h"
#include "abi/ort_abi.h"
#include "op/domain.h"

namespace sparsebook::op {
namespace {

using abi::Slot;

abi::OrtStatus* register_operators(abi::OrtSessionOptions* options, const abi::OrtApiBase* base) {
  const abi::Versioned runtime = abi::newest_api(base);
  if (runtime.api == nullptr) {
    const std::string message = "sparsebook: ONNX Runtime 1.16 or newer is needed, this is " + std::string(base->GetVersionString());
    return abi::make_status(base->GetApi(1), abi::ORT_FAIL, message.c_str());
  }
  for (const char* entry : {REGISTERED_ENTRY, BROUGHT_ENTRY}) {
    int known = 0;
    if (abi::OrtStatus* status = abi::call<Slot::HasSessionConfigEntry>(
            runtime.api, static_cast<const abi::OrtSessionOptions*>(options), entry, &known)) {
      return status;
    }
    if (known != 0) return nullptr;
  }
  abi::OrtCustomOpDomain* domain = nullptr;
  if (abi::OrtStatus* status = domain_of(runtime, &domain)) return status;
  if (abi::OrtStatus* status = abi::call<Slot::AddCustomOpDomain>(runtime.api, options, domain)) return status;
  return abi::call<Slot::AddSessionConfigEntry>(runtime.api, options, REGISTERED_ENTRY, "1");
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
