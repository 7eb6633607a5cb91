// The library's door for ONNX Runtime's execution providers.
#include <new>
#include <string>

#include "abi/export.h"
#include "abi/kernel_api.h"
#include "ep/factory.h"

namespace sparsebook::ep {
namespace {

abi::OrtStatus* create(const abi::OrtApiBase* base, abi::OrtEpFactory** factories, std::size_t most, std::size_t* count) {
  *count = 0;
  const abi::Versioned runtime = abi::newest_api(base);
  if (runtime.version < abi::PROVIDER_VERSION) {
    const std::string message =
        "sparsebook: the execution provider needs ONNX Runtime 1.24 or newer, since only from there on a provider may bring "
        "its own operators; this is " +
        std::string(base->GetVersionString()) + ". Register this library as one of custom operators instead";
    return abi::make_status(base->GetApi(1), abi::ORT_FAIL, message.c_str());
  }
  if (most == 0) return abi::make_status(runtime.api, abi::ORT_FAIL, "sparsebook: there is no room for the execution provider");
  factories[0] = new Factory(runtime);
  *count = 1;
  return nullptr;
}

}  // namespace
}  // namespace sparsebook::ep

SPARSEBOOK_EXPORT sparsebook::abi::OrtStatus* CreateEpFactories(const char* /*registered_name*/,
                                                                const sparsebook::abi::OrtApiBase* base,
                                                                const sparsebook::abi::OrtLogger* /*logger*/,
                                                                sparsebook::abi::OrtEpFactory** factories, std::size_t most,
                                                                std::size_t* count) noexcept {
  try {
    return sparsebook::ep::create(base, factories, most, count);
  } catch (const std::bad_alloc&) {
    return sparsebook::abi::make_status(base->GetApi(1), sparsebook::abi::ORT_FAIL, "sparsebook: out of memory");
  }
}

SPARSEBOOK_EXPORT sparsebook::abi::OrtStatus* ReleaseEpFactory(sparsebook::abi::OrtEpFactory* factory) noexcept {
  delete static_cast<sparsebook::ep::Factory*>(factory);
  return nullptr;
}
