// The operator domain `sparsebook`, as both of the library's doors give it to ONNX Runtime.
#pragma once

#include "abi/ort_abi.h"

namespace sparsebook::op {

inline constexpr const char* DOMAIN_NAME = "sparsebook";
inline constexpr const char* PROVIDER_NAME = "SparsebookExecutionProvider";

// ONNX Runtime refuses a session that is given one domain twice, and says to no one which it has. So the doors leave notes in the
// session's options: the execution provider by an option of its own, which ONNX Runtime spells as the second entry.
inline constexpr const char* BROUGHT_OPTION = "brings_operators";
inline constexpr const char* BROUGHT_ENTRY = "ep.sparsebookexecutionprovider.brings_operators";
inline constexpr const char* REGISTERED_ENTRY = "sparsebook.registered_operators";

/// The domain for one ONNX Runtime, of which there may be several in a process. Sessions refer to it without owning it, so it
/// lives as long as the library. It holds every operator for the CPU provider, which also folds constants, and where ONNX
/// Runtime takes execution providers with operators of their own, for ours as well.
///
/// Returns a status, with `*domain` untouched, if ONNX Runtime refuses it; throws std::bad_alloc.
[[nodiscard]] abi::OrtStatus* domain_of(const abi::Versioned& runtime, abi::OrtCustomOpDomain** domain);

}  // namespace sparsebook::op
