// KernelContext::parallel_for over a table with ONNX Runtime's slot for it, served by threads of the test's own. What sessions'
// pools make of it is tested in tests/e2e/test_threads.py.
#include <atomic>
#include <cstddef>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "abi/kernel_api.h"
#include "check.h"

namespace abi = sparsebook::abi;

namespace {

constexpr std::size_t THREADS = 4;
std::atomic<std::size_t> handed_over{0};  // to the pool

// The slot's signature in ONNX Runtime's header.
abi::OrtStatus* parallel_for(const abi::OrtKernelContext*, void (*fn)(void*, std::size_t), std::size_t total,
                             std::size_t num_batch, void* user_data) {
  CHECK(num_batch == 0);
  handed_over += total;
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> pool;
  for (std::size_t t = 0; t < THREADS; ++t) {
    pool.emplace_back([&] {
      for (std::size_t index = next++; index < total; index = next++) fn(user_data, index);
    });
  }
  for (std::thread& thread : pool) thread.join();
  return nullptr;
}

abi::OrtStatus* refuse(const abi::OrtKernelContext*, void (*)(void*, std::size_t), std::size_t, std::size_t, void*) {
  static int status;
  return reinterpret_cast<abi::OrtStatus*>(&status);
}

const char* message_of(const abi::OrtStatus*) { return "no pool"; }

int released = 0;
void release(abi::OrtStatus*) { ++released; }

using Entry = void (*)();

template <class Function>
void set(std::vector<Entry>& table, abi::Slot slot, Function function) {
  table[static_cast<unsigned>(slot)] = reinterpret_cast<Entry>(function);
}

std::vector<Entry> table_with(abi::OrtStatus* (*function)(const abi::OrtKernelContext*, void (*)(void*, std::size_t),
                                                          std::size_t, std::size_t, void*)) {
  std::vector<Entry> table(400);
  set(table, abi::Slot::KernelContext_ParallelFor, function);
  set(table, abi::Slot::GetErrorMessage, &message_of);
  set(table, abi::Slot::ReleaseStatus, &release);
  return table;
}

std::string thrown(const abi::KernelContext& context, std::size_t total, const std::set<std::size_t>& bad,
                   std::atomic<std::size_t>& calls) {
  try {
    context.parallel_for(total, [&](std::size_t i) {
      ++calls;
      if (bad.count(i) != 0) throw abi::OperatorError("index " + std::to_string(i));
    });
  } catch (const abi::OperatorError& error) {
    return error.what();
  }
  return "";
}

void every_index_once(const abi::KernelContext& context) {
  for (const std::size_t total : {0u, 1u, 2u, 3u, 1000u}) {
    std::vector<std::atomic<int>> seen(total);
    context.parallel_for(total, [&](std::size_t i) { ++seen[i]; });
    for (const auto& count : seen) CHECK(count == 1);
  }
}

void the_least_index_speaks(const abi::KernelContext& context) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::atomic<std::size_t> calls{0};
    CHECK(thrown(context, 100, {99, 17, 63}, calls) == "index 17");
    CHECK(calls == 100);
    CHECK(thrown(context, 1, {0}, calls) == "index 0");
    CHECK(thrown(context, 100, {}, calls) == "");
  }
}

}  // namespace

int main() {
  const std::vector<Entry> pool = table_with(&parallel_for);
  const abi::OrtApi* api = pool.data();

  const abi::KernelContext threaded(api, abi::THREADS_VERSION, nullptr);
  every_index_once(threaded);
  the_least_index_speaks(threaded);
  CHECK(handed_over != 0);

  // Older tables have no such slot: everything happens here, in order.
  handed_over = 0;
  const abi::KernelContext serial(api, abi::LEAST_VERSION, nullptr);
  every_index_once(serial);
  the_least_index_speaks(serial);
  std::vector<std::size_t> order;
  serial.parallel_for(5, [&](std::size_t i) { order.push_back(i); });
  CHECK((order == std::vector<std::size_t>{0, 1, 2, 3, 4}));
  CHECK(handed_over == 0);

  // What ONNX Runtime itself refuses is said, and its status given back.
  const std::vector<Entry> refusing = table_with(&refuse);
  const abi::KernelContext refused(refusing.data(), abi::THREADS_VERSION, nullptr);
  std::string message;
  try {
    refused.parallel_for(2, [](std::size_t) {});
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  CHECK(message == "ONNX Runtime gives no threads: no pool");
  CHECK(released == 1);
  return check::finish();
}
