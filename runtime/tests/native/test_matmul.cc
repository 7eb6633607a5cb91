// The matmul kernel against sums in double, at every block width and its neighbours.
#include "check.h"
#include "kernels/matmul.h"
#include "sparse_sample.h"

using namespace sparsebook::kernels;

namespace {

struct Case {
  std::size_t m, k, n;
  double density;
  bool transposed = false, bias = false;
};

void check_case(const Case& c, std::mt19937& random) {
  const SparseSample weight(c.n, c.k, c.density, random);
  const auto x = random_floats(c.m * c.k, random);
  const auto bias = random_floats(c.n, random);
  Activations activations = {x.get(), c.m, c.k, 1};
  if (c.transposed) activations = {x.get(), c.m, 1, c.m};
  Epilogue epilogue;
  epilogue.alpha = 0.5f;
  epilogue.beta = -2;
  epilogue.activation = {-1.5f, 2.5f};
  if (c.bias) {
    epilogue.bias = bias.get();
    epilogue.bias_column_stride = 1;
  }
  const auto scratch = random_floats(matmul_scratch(weight.view(), c.m), random);
  const auto y = random_floats(c.m * c.n, random);
  matmul(weight.view(), activations, epilogue, scratch.get(), y.get());

  const std::vector<double> dense = weight.dense();
  for (std::size_t m = 0; m < c.m; ++m) {
    for (std::size_t n = 0; n < c.n; ++n) {
      double sum = 0;
      for (std::size_t k = 0; k < c.k; ++k) {
        sum += dense[n * c.k + k] * x[m * activations.row_stride + k * activations.column_stride];
      }
      double expected = 0.5 * sum;
      if (c.bias) expected -= 2.0 * bias[n];
      expected = std::fmin(std::fmax(expected, -1.5), 2.5);
      CHECK(check::close(y[m * c.n + n], expected, std::sqrt(static_cast<double>(c.k))));
    }
  }
}

void activations_of_edges() {
  const Activation none;
  const Activation relu{0, none.high};
  CHECK(none(-INFINITY) == -INFINITY && none(INFINITY) == INFINITY && std::isnan(none(NAN)));
  CHECK(relu(-1) == 0 && relu(3) == 3 && std::isnan(relu(NAN)) && relu(-INFINITY) == 0);
  CHECK((Activation{2, 1}(5) == 1) && (Activation{2, 1}(-5) == 1));  // ONNX: the upper bound wins
}

}  // namespace

int main() {
  std::mt19937 random(11);
  for (const std::size_t m : {0u, 1u, 2u, 3u, 4u, 5u, 8u, 9u, 16u, 17u, 31u, 32u, 33u, 64u, 65u, 71u}) {
    for (const bool transposed : {false, true}) {
      check_case({m, 37, 23, 0.3, transposed, true}, random);
      check_case({m, 1, 1, 1.0, transposed, false}, random);
    }
    check_case({m, 64, 5, 0.0}, random);
    check_case({m, 64, 5, 1.0}, random);
  }
  check_case({2, 70000, 3, 0.01}, random);
  activations_of_edges();
  return check::finish();
}
