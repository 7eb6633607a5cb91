#include "op/domain.h"

#include <map>
#include <mutex>
#include <vector>

#include "op/conv_op.h"
#include "op/custom_op.h"
#include "op/decode_op.h"
#include "op/gather_op.h"
#include "op/linear_op.h"
#include "op/recurrent_op.h"

namespace sparsebook::op {
namespace {

struct Domain {
  std::vector<CustomOp> operators;  // never moved once ONNX Runtime knows them
  abi::OrtCustomOpDomain* handle = nullptr;
};

void add_operators(const char* provider, std::uint32_t version, std::vector<CustomOp>& operators) {
  operators.push_back(make_custom_op<Decode>(provider, version));
  operators.push_back(make_custom_op<Gemm>(provider, version));
  operators.push_back(make_custom_op<MatMul>(provider, version));
  operators.push_back(make_custom_op<Conv>(provider, version));
  operators.push_back(make_custom_op<Gather>(provider, version));
  operators.push_back(make_custom_op<Lstm>(provider, version));
  operators.push_back(make_custom_op<Gru>(provider, version));
}

abi::OrtStatus* make_domain(const abi::Versioned& runtime, Domain& domain) {
  using abi::Slot;
  domain.operators.clear();
  add_operators("CPUExecutionProvider", runtime.version, domain.operators);
  if (runtime.version >= abi::PROVIDER_VERSION) add_operators(PROVIDER_NAME, runtime.version, domain.operators);

  abi::OrtCustomOpDomain* made = nullptr;
  if (abi::OrtStatus* status = abi::call<Slot::CreateCustomOpDomain>(runtime.api, DOMAIN_NAME, &made)) return status;
  for (const CustomOp& op : domain.operators) {
    if (abi::OrtStatus* status = abi::call<Slot::CustomOpDomain_Add>(runtime.api, made, &op.callbacks)) {
      abi::call<Slot::ReleaseCustomOpDomain, void>(runtime.api, made);
      return status;
    }
  }
  domain.handle = made;
  return nullptr;
}

}  // namespace

abi::OrtStatus* domain_of(const abi::Versioned& runtime, abi::OrtCustomOpDomain** domain) {
  static std::mutex mutex;
  static std::map<const abi::OrtApi*, Domain> domains;
  const std::lock_guard<std::mutex> lock(mutex);
  Domain& known = domains[runtime.api];
  if (known.handle == nullptr) {
    if (abi::OrtStatus* status = make_domain(runtime, known)) return status;
  }
  *domain = known.handle;
  return nullptr;
}

}  // namespace sparsebook::op
