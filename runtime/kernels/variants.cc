#include "kernels/variants.h"

#include <cstdlib>
#include <stdexcept>

namespace sparsebook::kernels {

extern const Variant SCALAR;
#if defined(__x86_64__)
extern const Variant AVX2;
extern const Variant AVX512;
extern const Variant AVX512_VBMI;
#elif defined(__aarch64__)
extern const Variant NEON;
#endif

const std::vector<const Variant*>& variants() {
  static const std::vector<const Variant*> all = {
#if defined(__x86_64__)
      &AVX512_VBMI, &AVX512, &AVX2,
#elif defined(__aarch64__)
      &NEON,
#endif
      &SCALAR};
  return all;
}

std::vector<const Variant*> runnable_variants() {
  std::vector<const Variant*> found;
  for (const Variant* variant : variants()) {
    if (variant->supported()) found.push_back(variant);
  }
  return found;
}

const Variant& variant_named(const std::string& name) {
  std::string names;
  for (const Variant* variant : runnable_variants()) {
    if (variant->name == name) return *variant;
    names += std::string(names.empty() ? "" : ", ") + variant->name;
  }
  throw std::invalid_argument("there are no kernels '" + name + "' for this machine; it runs " + names);
}

const Variant& chosen_variant() {
  static const Variant& chosen = []() -> const Variant& {
    const char* asked = std::getenv("SPARSEBOOK_ISA");
    return asked == nullptr || *asked == 0 ? *runnable_variants().front() : variant_named(asked);
  }();
  return chosen;
}

}  // namespace sparsebook::kernels
