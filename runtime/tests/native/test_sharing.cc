// Weights of the process: many threads ask for the same ones at once, and for products with both of their forms.
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "kernels/matmul.h"
#include "kernels/variants.h"
#include "op/live_weights.h"
#include "sparse_sample.h"

using namespace sparsebook;

namespace {

class Number final : public op::DecodedWeight {
 public:
  explicit Number(int value) : DecodedWeight({1}), value_(value) {}
  [[nodiscard]] const char* form() const override { return "number"; }
  [[nodiscard]] std::size_t bytes() const override { return sizeof value_; }
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_;
};

constexpr unsigned THREADS = 8;

template <class Body>
void at_once(const Body& body) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < THREADS; ++t) threads.emplace_back([&, t] { body(t); });
  for (std::thread& thread : threads) thread.join();
}

void one_weight_a_key() {
  op::LiveWeights all;
  const op::LiveWeights::Key key = {{1, 2}, 3, "number"}, other = {{1, 2}, 3, "another kind"};
  std::vector<std::shared_ptr<const op::DecodedWeight>> found(THREADS);
  std::atomic<int> made{0};
  at_once([&](unsigned t) { found[t] = all.get(key, "w \"1\"\n", [&] { return std::make_shared<const Number>(made++); }); });
  for (const auto& weight : found) CHECK(weight == found.front());
  CHECK(all.get(other, "w", [] { return std::make_shared<const Number>(9); }) != found.front());
  CHECK(all.describe().find("\"w \\\"1\\\"\\u000a\"") != std::string::npos);
  // Nobody holds it any more: it is made anew.
  found.clear();
  CHECK(all.describe() == "[]");
  const int before = made;
  (void)all.get(key, "w", [&] { return std::make_shared<const Number>(made++); });
  CHECK(made == before + 1);
}

void products_from_many_threads() {
  std::mt19937 random(5);
  const SparseSample weight(200, 300, 0.2, random, 15);
  for (const kernels::Variant* variant : kernels::runnable_variants()) {
    const kernels::Matmul matmul(*variant, weight.view());
    kernels::Scratch scratch;
    const std::vector<float> x(64 * 300, 0.5f);
    std::vector<float> alone(64 * 200);
    kernels::Matmul(*variant, weight.view()).run({x.data(), 64, 300, 1}, {}, kernels::Serial(), scratch, alone.data());
    std::atomic<int> wrong{0};
    at_once([&](unsigned t) {
      for (const std::size_t batch : {std::size_t{1}, std::size_t{64}, std::size_t{t + 1}}) {
        std::vector<float> y(batch * 200);
        matmul.run({x.data(), batch, 300, 1}, {}, kernels::Serial(), scratch, y.data());
        if (batch == 64 && y != alone) ++wrong;
      }
    });
    CHECK(wrong == 0);
  }
}

}  // namespace

int main() {
  one_weight_a_key();
  products_from_many_threads();
  return check::finish();
}
