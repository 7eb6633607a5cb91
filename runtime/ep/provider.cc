#include "ep/provider.h"

#include <cstring>
#include <new>
#include <vector>

#include "abi/kernel_api.h"
#include "op/domain.h"

namespace sparsebook::ep {
namespace {

abi::OrtStatus* claim(const abi::OrtApi* api, const abi::OrtGraph* graph, abi::OrtEpGraphSupportInfo* support) {
  using abi::Slot;
  const auto* provider_api = abi::call<Slot::GetEpApi, const abi::OrtEpApi*>(api);
  std::size_t count = 0;
  if (auto* status = abi::call<Slot::Graph_GetNumNodes>(api, graph, &count)) return status;
  std::vector<const abi::OrtNode*> nodes(count);
  if (count == 0) return nullptr;
  if (auto* status = abi::call<Slot::Graph_GetNodes>(api, graph, nodes.data(), count)) return status;
  for (const abi::OrtNode* node : nodes) {
    const char* domain = nullptr;
    if (auto* status = abi::call<Slot::Node_GetDomain>(api, node, &domain)) return status;
    if (std::strcmp(domain, op::DOMAIN_NAME) != 0) continue;
    if (auto* status = abi::call<abi::EpSlot::EpGraphSupportInfo_AddSingleNode>(provider_api, support, node)) return status;
  }
  return nullptr;
}

}  // namespace

Provider::Provider(const abi::OrtApi* table) : abi::OrtEp{}, api(table) {
  version = abi::PROVIDER_VERSION;
  GetName = [](const abi::OrtEp*) { return op::PROVIDER_NAME; };
  GetCapability = [](abi::OrtEp* self, const abi::OrtGraph* graph,
                     abi::OrtEpGraphSupportInfo* support) noexcept -> abi::OrtStatus* {
    const abi::OrtApi* known = static_cast<Provider*>(self)->api;
    try {
      return claim(known, graph, support);
    } catch (const std::bad_alloc&) {
      return abi::make_status(known, abi::ORT_FAIL, "sparsebook: out of memory");
    }
  };
}

}  // namespace sparsebook::ep
