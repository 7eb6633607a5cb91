// Gates over all floats against double precision, and LSTM and GRU of every variant against a plain recurrence in double, in buffers
// that end where the forbidden begins.
#include "kernels/recurrent.h"

#include <cstring>

#include "check.h"
#include "guarded.h"
#include "kernels/variants.h"
#include "sparse_sample.h"

using namespace sparsebook::kernels;

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The size of the last place of a float near `value`, and of the least normal one below it.
double ulp(double value) {
  const auto size = static_cast<float>(std::fabs(value));
  return std::fmax(std::nextafterf(size, INFINITY) - size, 0x1p-149);
}

// Every 1021st float: all signs, exponents and what is no number.
void accuracy() {
  double worst_sigmoid = 0, worst_tanh = 0;
  const GateKernels& gates = variants().back()->gates;
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << 32; bits += 1021) {
    const auto low = static_cast<std::uint32_t>(bits);
    float x = 0, found[2];
    std::memcpy(&x, &low, sizeof x);
    gates.sigmoid(&x, nullptr, 1, found);
    gates.tanh(&x, nullptr, 1, found + 1);
    if (std::isnan(x)) {
      if (!std::isnan(found[0]) || !std::isnan(found[1])) CHECK(!"no number became one");
      continue;
    }
    const double expected = sigmoid(x);
    const double error = std::fmax(0, std::fabs(found[0] - expected) - 1.7e-38) / ulp(expected);
    worst_sigmoid = std::fmax(worst_sigmoid, error);
    worst_tanh = std::fmax(worst_tanh, std::fabs(found[1] - std::tanh(static_cast<double>(x))) / ulp(std::tanh(x)));
  }
  std::printf("sigmoid within %.2f ulp, tanh within %.2f\n", worst_sigmoid, worst_tanh);
  CHECK(worst_sigmoid <= 2.5);
  CHECK(worst_tanh <= 1.5);
}

// All variants have the same bits, at every length around their vectors, and write where they read.
void same_bits(const Variant& variant, std::mt19937& random) {
  const GateKernels& specified = variants().back()->gates;
  for (const std::size_t count : {0u, 1u, 3u, 4u, 5u, 7u, 8u, 9u, 15u, 16u, 17u, 31u, 33u, 1000u}) {
    Guarded a(count), b(count), y(count), expected(count);
    a.fill(random);
    b.fill(random);
    for (std::size_t i = 0; i < count; ++i) a[i] *= 4;
    for (const float* addend : {static_cast<const float*>(nullptr), static_cast<const float*>(b.get())}) {
      for (const auto gate : {&GateKernels::sigmoid, &GateKernels::tanh}) {
        (specified.*gate)(a.get(), addend, count, expected.get());
        (variant.gates.*gate)(a.get(), addend, count, y.get());
        CHECK(std::memcmp(y.get(), expected.get(), count * sizeof(float)) == 0);
      }
    }
    variant.gates.sigmoid(a.get(), b.get(), count, y.get());
    variant.gates.sigmoid(a.get(), b.get(), count, b.get());
    CHECK(std::memcmp(y.get(), b.get(), count * sizeof(float)) == 0);
  }
}

struct Case {
  std::size_t steps, batch, into, hidden;
  double density;
  bool backward = false, bias = false, states = false, ragged = false;
};

class Backwards final : public Parallel {
 public:
  void run(std::size_t parts, const std::function<void(std::size_t)>& body) const override {
    while (parts != 0) body(--parts);
  }
};

enum class Kind { LSTM, GRU, GRU_RESET_BEHIND };

struct Layer {
  Kind kind;
  std::size_t gates;
  SparseSample w, r;
  Guarded x, bias, h, c;
  std::vector<std::int32_t> lengths;

  Layer(Kind which, const Case& shape, std::mt19937& random)
      : kind(which),
        gates((which == Kind::LSTM ? 4 : 3) * shape.hidden),
        w(gates, shape.into, shape.density, random, 31),
        r(gates, shape.hidden, shape.density, random, 31),
        x(shape.steps * shape.batch * shape.into),
        bias(2 * gates),
        h(shape.batch * shape.hidden),
        c(shape.batch * shape.hidden) {
    for (float& value : w.codebook) value /= 4;  // a recurrence that forgets: rounding must not be blown up
    for (float& value : r.codebook) value /= 4;
    for (Guarded* each : {&x, &bias, &h, &c}) each->fill(random);
    for (std::size_t b = 0; b < shape.batch; ++b) {
      lengths.push_back(static_cast<std::int32_t>(shape.ragged ? (b * 3 + 1) % (shape.steps + 1) : shape.steps));
    }
  }
};

// Sequence b of a layer in double: states behind its steps, in the order in which they are taken.
std::vector<std::vector<double>> reference(const Layer& layer, const Case& c, std::size_t b) {
  const std::size_t hidden = c.hidden;
  const std::vector<double> w = layer.w.dense(), r = layer.r.dense();
  std::vector<double> h(hidden), cell(hidden);
  for (std::size_t k = 0; c.states && k < hidden; ++k) {
    h[k] = layer.h[b * hidden + k];
    cell[k] = layer.c[b * hidden + k];
  }
  const auto bias = [&](std::size_t at) { return c.bias ? static_cast<double>(layer.bias[at]) : 0.0; };
  std::vector<std::vector<double>> states;
  const auto length = static_cast<std::size_t>(layer.lengths[b]);
  for (std::size_t s = 0; s < length; ++s) {
    const std::size_t t = c.backward ? length - 1 - s : s;
    const auto from_x = [&](std::size_t n) {
      double sum = bias(n);
      for (std::size_t k = 0; k < c.into; ++k) sum += w[n * c.into + k] * layer.x[(t * c.batch + b) * c.into + k];
      return sum;
    };
    const auto from = [&](const std::vector<double>& state, std::size_t n) {
      double sum = bias(layer.gates + n);
      for (std::size_t k = 0; k < hidden; ++k) sum += r[n * hidden + k] * state[k];
      return sum;
    };
    std::vector<double> next(hidden), reset(hidden), z(hidden);
    for (std::size_t k = 0; k < hidden; ++k) {
      z[k] = sigmoid(from_x(k) + from(h, k));
      const double second = sigmoid(from_x(hidden + k) + from(h, hidden + k));
      reset[k] = second * h[k];
      if (layer.kind == Kind::GRU_RESET_BEHIND) {
        const double g = std::tanh(from_x(2 * hidden + k) + second * from(h, 2 * hidden + k));
        next[k] = (1 - z[k]) * g + z[k] * h[k];
      } else if (layer.kind == Kind::LSTM) {
        const double f = sigmoid(from_x(2 * hidden + k) + from(h, 2 * hidden + k));
        cell[k] = f * cell[k] + z[k] * std::tanh(from_x(3 * hidden + k) + from(h, 3 * hidden + k));
        next[k] = second * std::tanh(cell[k]);
      }
    }
    for (std::size_t k = 0; layer.kind == Kind::GRU && k < hidden; ++k) {
      next[k] = (1 - z[k]) * std::tanh(from_x(2 * hidden + k) + from(reset, 2 * hidden + k)) + z[k] * h[k];
    }
    h = next;
    states.push_back(h);
  }
  states.push_back(cell);
  return states;
}

void run(const Variant& variant, const Layer& layer, const Case& c, const Parallel& parallel, float* y, float* h, float* cell) {
  Sequences sequences{};
  sequences.steps = c.steps;
  sequences.batch = c.batch;
  sequences.hidden = c.hidden;
  sequences.x = layer.x.get();
  sequences.lengths = c.ragged ? layer.lengths.data() : nullptr;
  sequences.backward = c.backward;
  sequences.bias = c.bias ? layer.bias.get() : nullptr;
  sequences.first_h = c.states ? layer.h.get() : nullptr;
  sequences.first_c = c.states ? layer.c.get() : nullptr;
  sequences.y = y;
  sequences.y_step = c.batch * c.hidden;
  sequences.h = h;
  sequences.c = cell;
  Scratch scratch;
  const Matmul input(variant, layer.w.view());
  if (layer.kind == Kind::LSTM) {
    run_lstm(variant, input, Matmul(variant, layer.r.view()), sequences, parallel, scratch);
    return;
  }
  sequences.c = nullptr;
  SparseMatrix gates = layer.r.view(), candidate = gates;
  gates.rows = 2 * c.hidden;
  candidate.rows = c.hidden;
  candidate.start += 2 * c.hidden;
  const Matmul first(variant, gates), second(variant, candidate);
  run_gru(variant, input, {first, second}, layer.kind == Kind::GRU_RESET_BEHIND, sequences, parallel, scratch);
}

void check_case(const Variant& variant, Kind kind, const Case& c, std::mt19937& random) {
  const Layer layer(kind, c, random);
  const std::size_t row = c.hidden, step = c.batch * row;
  const Guarded y(c.steps * step), h(step), cell(step), again(c.steps * step, true), again_h(step, true), again_cell(step, true);
  run(variant, layer, c, Serial(), y.get(), h.get(), cell.get());
  run(variant, layer, c, Backwards(), again.get(), again_h.get(), again_cell.get());
  CHECK(std::memcmp(y.get(), again.get(), c.steps * step * sizeof(float)) == 0);
  CHECK(std::memcmp(h.get(), again_h.get(), step * sizeof(float)) == 0);
  for (std::size_t b = 0; b < c.batch; ++b) {
    const auto length = static_cast<std::size_t>(layer.lengths[b]);
    const std::vector<std::vector<double>> states = reference(layer, c, b);
    bool good = true;
    for (std::size_t k = 0; k < row; ++k) {
      for (std::size_t t = 0; t < c.steps; ++t) {
        const double expected = t >= length ? 0 : states[c.backward ? length - 1 - t : t][k];
        good = good && check::close(y[t * step + b * row + k], expected);
      }
      good = good && check::close(h[b * row + k], length == 0 ? 0 : states[length - 1][k]);
      if (kind == Kind::LSTM) good = good && check::close(cell[b * row + k], length == 0 ? 0 : states[length][k]);
    }
    CHECK(good);
  }
  run(variant, layer, c, Serial(), nullptr, again_h.get(), again_cell.get());
  CHECK(std::memcmp(h.get(), again_h.get(), step * sizeof(float)) == 0);
}

void layers(const Variant& variant, std::mt19937& random) {
  for (const Kind kind : {Kind::LSTM, Kind::GRU, Kind::GRU_RESET_BEHIND}) {
    for (unsigned bits = 0; bits < 16; ++bits) {
      check_case(variant, kind, {5, 3, 7, 9, 0.3, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0}, random);
    }
    for (const std::size_t hidden : {1u, 15u, 16u, 17u, 33u, 64u}) {
      for (const std::size_t batch : {1u, 2u, 8u, 9u, 40u}) {
        check_case(variant, kind, {4, batch, 20, hidden, 0.2, hidden % 2 == 0, true, batch % 2 == 0, batch == 9}, random);
      }
    }
    check_case(variant, kind, {30, 1, 64, 70, 0.1, false, true}, random);
    check_case(variant, kind, {3, 2, 5, 8, 0.0, false, true, true}, random);
    check_case(variant, kind, {3, 2, 5, 8, 1.0}, random);
    check_case(variant, kind, {0, 2, 5, 8, 0.5}, random);
    check_case(variant, kind, {2, 0, 5, 8, 0.5}, random);
  }
}

}  // namespace

int main() {
  accuracy();
  for (const Variant* variant : runnable_variants()) {
    std::mt19937 random(5);
    const int before = check::failures;
    same_bits(*variant, random);
    layers(*variant, random);
    std::printf("%s: %s\n", variant->name, check::failures == before ? "as it should be" : "FAILED");
  }
  return check::finish();
}
