// Every variant's products against sums in double: at the edges of strips, windows, blocks and tiles, with every width of codebook, in
// buffers that end where the forbidden begins.
#include <string>

#include "check.h"
#include "guarded.h"
#include "kernels/matmul.h"
#include "kernels/variants.h"
#include "sparse_sample.h"

using namespace sparsebook::kernels;

namespace {

struct Case {
  std::size_t m, k, n;
  double density;
  bool transposed = false, bias = false;
};

// In reverse: results must not depend on the order in which threads take parts.
class Backwards final : public Parallel {
 public:
  void run(std::size_t parts, const std::function<void(std::size_t)>& body) const override {
    while (parts != 0) body(--parts);
  }
};

void check_product(const Variant& variant, const SparseSample& weight, const Case& c, std::mt19937& random) {
  const Guarded x(c.m * c.k), bias(c.n), y(c.m * c.n), again(c.m * c.n, true);
  for (std::size_t i = 0; i < c.m * c.k; ++i) x[i] = std::normal_distribution<float>()(random);
  for (std::size_t i = 0; i < c.n; ++i) bias[i] = std::normal_distribution<float>()(random);
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
  const Matmul matmul(variant, weight.view());
  Scratch scratch;
  matmul.run(activations, epilogue, Serial(), scratch, y.get());
  matmul.run(activations, epilogue, Backwards(), scratch, again.get());

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
      CHECK(y[m * c.n + n] == again[m * c.n + n]);
    }
  }
}

void check_case(const Variant& variant, const Case& c, std::mt19937& random, unsigned centroids = 255, bool clustered = false) {
  check_product(variant, SparseSample(c.n, c.k, c.density, random, centroids, clustered), c, random);
}

void shapes(const Variant& variant, std::mt19937& random) {
  for (const std::size_t m : {0u, 1u, 2u, 3u, 4u, 5u, 7u, 8u, 9u, 16u, 17u, 31u, 32u, 33u, 48u, 64u, 65u, 71u, 129u}) {
    for (const bool transposed : {false, true}) {
      check_case(variant, {m, 37, 23, 0.3, transposed, true}, random, 15);
      check_case(variant, {m, 1, 1, 1.0, transposed, false}, random);
    }
    check_case(variant, {m, 64, 5, 0.0}, random);
    check_case(variant, {m, 64, 5, 1.0}, random, 31);
  }
  // Strips of sixteen rows, groups of sixty-four, windows of 16 to 128 columns, blocks of 160.
  for (const std::size_t n : {1u, 15u, 16u, 17u, 63u, 64u, 65u, 130u}) {
    for (const std::size_t k : {1u, 15u, 16u, 17u, 32u, 33u, 64u, 65u, 127u, 128u, 129u, 160u, 161u, 321u}) {
      check_case(variant, {1 + k % 9, k, n, 0.2, false, true}, random, k % 2 == 0 ? 15 : 31);
    }
  }
}

// Each format of windows that there is, packed as dense as it can be and as sparse.
void codebooks(const Variant& variant, std::mt19937& random) {
  for (const unsigned centroids : {1u, 2u, 15u, 16u, 31u, 32u, 63u, 64u, 127u, 128u, 255u}) {
    for (const double density : {0.004, 0.04, 0.1, 0.3, 0.7, 1.0}) {
      for (const std::size_t m : {1u, 4u, 8u, 20u}) {
        check_case(variant, {m, 300, 40, density}, random, centroids);
        check_case(variant, {m, 300, 40, density / 4}, random, centroids, true);
      }
    }
  }
}

// Bases that a step of 16 bits does not reach, in every format, and rows beyond 65535 columns.
void wide(const Variant& variant, std::mt19937& random) {
  for (const unsigned centroids : {15u, 31u, 255u}) {
    SparseSample far(3, 70000, 0.0, random, centroids);
    far.column = {0, 69999, 69998, 3};
    far.code = {1, 2, 3, 1};
    far.start = {0, 2, 3, 4};
    for (const std::size_t m : {1u, 5u, 33u}) check_product(variant, far, {m, 70000, 3, 0}, random);
    check_case(variant, {2, 70000, 3, 0.01}, random, centroids);
  }
  SparseSample very_far(1, 5000000, 0.0, random, 15);
  very_far.column = {4999999};
  very_far.code = {7};
  very_far.start = {0, 1};
  for (const std::size_t m : {1u, 4u, 20u}) check_product(variant, very_far, {m, 5000000, 1, 0}, random);
}

// A zero of the weight contributes nothing, also where an activation is infinite or no number.
void not_finite(const Variant& variant, std::mt19937& random) {
  for (const std::size_t m : {1u, 3u, 8u, 40u}) {
    for (const float odd : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), NAN}) {
      const SparseSample weight(50, 90, 0.2, random, 15);
      const Guarded x(m * 90), y(m * 50);
      for (std::size_t i = 0; i < m * 90; ++i) x[i] = 1;
      const std::size_t row = m - 1, column = 41;
      x[row * 90 + column] = odd;
      Scratch scratch;
      Matmul(variant, weight.view()).run({x.get(), m, 90, 1}, {}, Serial(), scratch, y.get());
      const std::vector<double> dense = weight.dense();
      for (std::size_t n = 0; n < 50; ++n) CHECK(std::isfinite(y[row * 50 + n]) == (dense[n * 90 + column] == 0));
      for (std::size_t n = 0; row != 0 && n < 50; ++n) CHECK(std::isfinite(y[n]));
    }
  }
}

// A layout gives back the matrix that it was made from.
void unpacking(const Variant& variant, std::mt19937& random) {
  for (std::size_t i = 0; i < variant.window_count; ++i) {
    const WindowRow& row = variant.windows[i];
    for (const double density : {0.0, 0.01, 0.2, 1.0}) {
      const SparseSample weight(37, 411, density, random, row.format.centroids);
      const WindowLayout layout(row, weight.view());
      const OwnedMatrix matrix = layout.unpacked(37);
      CHECK(matrix.start == weight.start && matrix.column == weight.column && matrix.code == weight.code);
      CHECK(std::fabs(estimated_groups(row.format, weight.view()) - static_cast<double>(layout.groups())) < 0.5);
    }
    SparseSample far(1, 3000000, 0.0, random, row.format.centroids);  // groups between that only bridge the way
    far.column = {5, 2999999};
    far.code = {1, 1};
    far.start = {0, 2};
    const WindowLayout layout(row, far.view());
    CHECK(layout.unpacked(1).column == far.column);
    CHECK(std::fabs(estimated_groups(row.format, far.view()) - static_cast<double>(layout.groups())) < 0.5);
  }
}

// One row, several and many have layouts of their own, each made when it is wanted first.
void forms(const Variant& variant, std::mt19937& random) {
  if (variant.name != std::string("avx512-vbmi")) return;  // the one whose best format for one row has no kernel for several
  const SparseSample weight(512, 512, 0.02, random, 31);
  const Matmul matmul(variant, weight.view());
  const Guarded x(64 * 512), y(64 * 512);
  for (std::size_t i = 0; i < 64 * 512; ++i) x[i] = 1;
  Scratch scratch;
  const auto after = [&](std::size_t m) {
    matmul.run({x.get(), m, 512, 1}, {}, Serial(), scratch, y.get());
    return std::string(matmul.form());
  };
  const std::size_t alone = matmul.bytes();
  CHECK(after(1) == "window" && matmul.bytes() == alone);
  CHECK(after(8) == "window+window" && matmul.bytes() > alone);
  CHECK(after(64) == "window+window+block");
  CHECK(after(1) == "window+window+block");
}

// Small weights with few zeros lie as floats, from which codes can be had again: for any number of rows, and with values that are there twice.
void floats(const Variant& variant, std::mt19937& random) {
  for (const std::size_t rows : {1u, 3u, 16u, 17u, 40u, 64u, 65u, 112u, 127u, 200u}) {
    SparseSample weight(rows, 53, rows % 2 == 0 ? 1.0 : 0.8, random, 255);
    weight.codebook[7] = weight.codebook[9];
    const FloatLayout layout(variant, weight.view());
    CHECK(layout.first_row(layout.strips()) == (rows + variant.lanes - 1) / variant.lanes * variant.lanes);
    const OwnedMatrix matrix = layout.unpacked(weight.codebook.data(), 255);
    CHECK(matrix.start == weight.start && matrix.column == weight.column);
    bool alike = matrix.code.size() == weight.code.size();
    for (std::size_t i = 0; alike && i < weight.code.size(); ++i) {
      alike = weight.codebook[matrix.code[i]] == weight.codebook[weight.code[i]];
    }
    CHECK(alike);
  }
  const SparseSample weight(512, 128, 1.0, random, 255);
  const Matmul matmul(variant, weight.view());
  const Guarded x(640 * 128), y(640 * 512);
  for (std::size_t i = 0; i < 640 * 128; ++i) x[i] = 1;
  Scratch scratch;
  const auto after = [&](std::size_t m) {
    matmul.run({x.get(), m, 128, 1}, {}, Serial(), scratch, y.get());
    return std::string(matmul.form());
  };
  CHECK(after(1) == "floats" && matmul.bytes() >= 512 * 128 * sizeof(float));
  // Of few lanes nothing is looked up faster than it is multiplied.
  const std::string many = variant.lanes > 8 ? "floats+codes" : "floats";
  CHECK(after(640) == many && after(1) == many);
  CHECK(!FloatLayout::fits(variant, 4096, 4096) && FloatLayout::fits(variant, 4096, 0));
  CHECK(!FloatLayout::fits(variant, ~std::size_t{0} / 64, ~std::size_t{0} / 64));
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
  for (const Variant* variant : runnable_variants()) {
    std::mt19937 random(11);
    const int before = check::failures;
    shapes(*variant, random);
    codebooks(*variant, random);
    wide(*variant, random);
    not_finite(*variant, random);
    unpacking(*variant, random);
    forms(*variant, random);
    floats(*variant, random);
    std::printf("%s: %s\n", variant->name, check::failures == before ? "as it should be" : "FAILED");
  }
  activations_of_edges();
  return check::finish();
}
