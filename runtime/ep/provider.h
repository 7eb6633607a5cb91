// SparsebookExecutionProvider, as one session has it.
#pragma once

#include "abi/ort_ep_abi.h"

namespace sparsebook::ep {

/// Claims the nodes of the operators' domain; everything else is left to the other providers. The nodes are not compiled: ONNX
/// Runtime runs them by the operators that op/domain.h has for this provider.
struct Provider : abi::OrtEp {
  explicit Provider(const abi::OrtApi* table);

  const abi::OrtApi* api;
};

}  // namespace sparsebook::ep
