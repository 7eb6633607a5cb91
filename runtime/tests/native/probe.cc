// An operator library of the tests' own: one operator that shows what KernelContext::parallel_for makes of a session's pool. Built
// with the native tests, loaded by tests/e2e/test_threads.py.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "abi/export.h"
#include "abi/kernel_api.h"
#include "op/custom_op.h"

namespace abi = sparsebook::abi;
namespace op = sparsebook::op;

namespace {

// sparsebook.test::Meet(calls float[1], together float[1], fail_at uint8[n]): makes so many calls, of which every one waits until
// `together` threads have been seen, or ten seconds have passed. Those whose index is in `fail_at` throw. Gives float[2]: how many
// threads there were, and the sum of the indices.
class Meet {
 public:
  static constexpr const char* NAME = "Meet";
  static constexpr op::Input INPUTS[] = {{abi::FLOAT}, {abi::FLOAT}, {abi::UINT8}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::REQUIRED};

  explicit Meet(const abi::KernelInfo&) {}

  void compute(const abi::KernelContext& context) const {
    const auto calls = static_cast<std::size_t>(*context.input(0).floats());
    const auto together = static_cast<std::size_t>(*context.input(1).floats());
    const abi::Tensor fail_at = context.input(2);
    const std::set<std::size_t> bad(fail_at.bytes(), fail_at.bytes() + fail_at.elements());

    std::mutex mutex;
    std::condition_variable came;
    std::set<std::thread::id> threads;
    std::vector<std::size_t> seen(calls);
    context.parallel_for(calls, [&](std::size_t index) {
      seen[index] += index;
      std::unique_lock<std::mutex> lock(mutex);
      threads.insert(std::this_thread::get_id());
      came.notify_all();
      came.wait_for(lock, std::chrono::seconds(10), [&] { return threads.size() >= together; });
      if (bad.count(index) != 0) throw abi::OperatorError("call " + std::to_string(index) + " failed");
    });

    float* y = context.output(0, {2});
    y[0] = static_cast<float>(threads.size());
    std::size_t sum = 0;
    for (const std::size_t index : seen) sum += index;
    y[1] = static_cast<float>(sum);
  }
};

}  // namespace

SPARSEBOOK_EXPORT abi::OrtStatus* RegisterCustomOps(abi::OrtSessionOptions* options, const abi::OrtApiBase* base) {
  using abi::Slot;
  const abi::Versioned runtime = abi::newest_api(base);
  static const op::CustomOp meet = op::make_custom_op<Meet>("CPUExecutionProvider", runtime.version);
  static abi::OrtCustomOpDomain* domain = nullptr;
  if (domain == nullptr) {
    if (auto* status = abi::call<Slot::CreateCustomOpDomain>(runtime.api, "sparsebook.test", &domain)) return status;
    if (auto* status = abi::call<Slot::CustomOpDomain_Add>(runtime.api, domain, &meet.callbacks)) return status;
  }
  return abi::call<Slot::AddCustomOpDomain>(runtime.api, options, domain);
}
