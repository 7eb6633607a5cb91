// What ONNX Runtime asks of the library that it was told to register as an execution provider.
#pragma once

#include "abi/ort_ep_abi.h"

namespace sparsebook::ep {

/// Offers SparsebookExecutionProvider on the CPU and brings the operators' domain to every session that takes it.
struct Factory : abi::OrtEpFactory {
  explicit Factory(const abi::Versioned& onnxruntime);

  abi::Versioned runtime;
};

}  // namespace sparsebook::ep
