#include "abi/ort_abi.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace sparsebook::abi {
namespace {

// The version of the ABI that ONNX Runtime has. It is the second number of its own ("1.23.2"); GetApi would tell as well, but
// complains on the standard error about every version that it has not.
std::uint32_t version_of(const OrtApiBase* base) noexcept {
  const char* version = base->GetVersionString();
  if (std::strncmp(version, "1.", 2) != 0) return PROVIDER_VERSION;  // a later ONNX Runtime has all that was ever released
  return static_cast<std::uint32_t>(std::strtoul(version + 2, nullptr, 10));
}

}  // namespace

Versioned newest_api(const OrtApiBase* base) noexcept {
  const std::uint32_t newest = version_of(base);
  for (const std::uint32_t version : {PROVIDER_VERSION, THREADS_VERSION, LEAST_VERSION}) {
    if (version <= newest) return {base->GetApi(version), version};
  }
  return {nullptr, 0};
}

}  // namespace sparsebook::abi
