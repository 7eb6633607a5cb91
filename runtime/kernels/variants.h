// All variants that this library has, and the one that is used.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/variant.h"

namespace sparsebook::kernels {

/// Best first; the last one, "scalar", runs everywhere and is the specification of the others.
[[nodiscard]] const std::vector<const Variant*>& variants();

/// The variants that this machine can run, best first.
[[nodiscard]] std::vector<const Variant*> runnable_variants();

/// The variant of this name. Throws std::invalid_argument if there is none or the machine cannot run it; the message lists those it can.
[[nodiscard]] const Variant& variant_named(const std::string& name);

/// The one that is used: the best that runs here, or the one that the environment variable SPARSEBOOK_ISA names. Chosen once a process.
/// Throws what `variant_named` throws.
[[nodiscard]] const Variant& chosen_variant();

}  // namespace sparsebook::kernels
