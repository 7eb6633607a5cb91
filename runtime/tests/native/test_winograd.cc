// Winograd's tiles of every kernel and variant that has them against the definition in double, whatever they cost; and what becomes of infinity.
#include <string>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "conv_case.h"

using namespace sparsebook::kernels;
using conv_case::axis, conv_case::sample, conv_case::shape;

namespace {

const Variant* tested = nullptr;
std::size_t computed = 0;

void check_tiles(const ConvShape& s, std::mt19937& random, unsigned centroids = 255, double density = 1.0) {
  const auto tiles = [&](const ConvWeight& weight, const ConvArguments& arguments, float* y) {
    if (weight.taps() != nullptr || weight.decoded_form() != WideForm::CODES) return false;
    Scratch scratch;
    CHECK(Winograd(*tested, s).run(weight, arguments, Serial(), scratch, y));
    ++computed;
    return true;
  };
  conv_case::check_way(*tested, s, sample(s, s.group * s.group_outputs, density, random, centroids), random, tiles);
}

ConvAxis three(std::size_t input, std::size_t before, std::size_t behind) { return axis(input, 3, 1, 1, before, behind); }

// Every remainder of outputs by tiles, of channels by vectors, of tiles by what is computed at once and by blocks of them.
void all_shapes() {
  std::mt19937 random(19);
  const ConvAxis one;
  for (std::size_t size = 1; size <= 18; ++size) {
    for (const auto& [before, behind] : {std::pair<std::size_t, std::size_t>(1, 1), {0, 2}, {2, 0}, {3, 4}}) {
      check_tiles(shape(1, 1, 5, 9, one, three(size, before, behind), three(19 - size, behind, before)), random);
    }
  }
  check_tiles(shape(1, 1, 4, 8, one, three(5, 0, 0), three(9, 0, 0)), random);
  for (const std::size_t inputs : {1u, 3u, 4u, 8u, 15u, 16u, 17u, 63u, 64u, 65u, 130u}) {
    for (const std::size_t outputs : {4u, 7u, 8u, 9u, 16u, 31u, 32u, 33u, 40u, 70u}) {
      check_tiles(shape(1, 1, inputs, outputs, one, three(5, 1, 1), three(6, 1, 1)), random, outputs % 2 == 0 ? 31 : 255);
    }
  }
  for (const std::size_t tiles : {11u, 12u, 13u, 25u, 48u, 49u, 50u, 97u, 200u}) {
    check_tiles(shape(1, 1, 3, 8, one, three(4, 1, 1), three(4 * tiles, 1, 1)), random);
    check_tiles(shape(tiles, 1, 3, 8, one, three(3, 1, 1), three(4, 1, 1)), random);
  }
  // Kernels of other sizes, along one axis or both.
  for (const auto& [high, wide] : {std::pair<std::size_t, std::size_t>(5, 5), {1, 3}, {3, 1}, {1, 5}, {5, 1}}) {
    for (std::size_t size = 5; size <= 13; ++size) {
      const std::size_t around = size % 3;
      const ConvAxis on_high = axis(high == 1 ? 3 : size, high, 1, 1, around, around), on_wide = axis(wide == 1 ? 4 : 18 - size, wide, 1, 1, 1, 0);
      check_tiles(shape(2, 1, 5, 9, one, on_high, on_wide), random);
      check_tiles(shape(1, 2, 18, 35, one, on_high, on_wide), random, 31);
    }
  }
  check_tiles(shape(1, 1, 70, 40, one, one, axis(500, 5, 1, 1, 2, 2)), random);
  check_tiles(shape(2, 1, 20, 40, one, axis(200, 5, 1, 1, 0, 2), one), random);
  check_tiles(shape(3, 2, 6, 10, one, three(9, 1, 1), three(7, 1, 1)), random);
  check_tiles(shape(2, 4, 20, 36, one, three(30, 1, 1), three(31, 1, 1)), random, 31, 0.6);
  // Of 288 shapes some lie as blocks where a variant finds those cheaper.
  CHECK(computed > 90);
}

class Threads final : public Parallel {
 public:
  void run(std::size_t parts, const std::function<void(std::size_t)>& body) const override {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t part = next++; part < parts; part = next++) body(part);
    };
    std::thread other(work);
    work();
    other.join();
  }
};

// A weight that has both forms, in images that want the one and the other; and the same bits by two threads.
void both_forms() {
  std::mt19937 random(23);
  const ConvAxis one;
  const SparseSample weight(64, std::size_t{64} * 9, 0.3, random, 31);
  const ConvWeight packed(*tested, weight.view(), 1, Winograd::transforms(*tested, shape(1, 1, 64, 64, one, three(28, 1, 1), three(28, 1, 1))));
  std::string forms;
  for (const std::size_t size : {28u, 14u, 7u, 2u}) {
    const ConvShape s = shape(2, 1, 64, 64, one, three(size, 1, 1), three(size, 1, 1));
    conv_case::check_weight(*tested, s, weight, random);
    std::vector<float> x(2 * 64 * size * size), serial(x.size()), threaded(x.size());
    for (float& value : x) value = std::normal_distribution<float>()(random);
    Scratch scratch;
    const Conv conv(s, packed);
    conv.run(packed, {x.data(), nullptr, nullptr, nullptr, {}}, Serial(), scratch, serial.data());
    conv.run(packed, {x.data(), nullptr, nullptr, nullptr, {}}, Threads(), scratch, threaded.data());
    CHECK(std::memcmp(serial.data(), threaded.data(), serial.size() * sizeof(float)) == 0);
    forms += std::string(packed.form()) + " ";
  }
  // The large image goes by tiles, the small one by non-zeros.
  if (tested->winograd != nullptr) CHECK(forms.rfind("codes codes", 0) == 0 && forms.find("codes+block") != std::string::npos);
}

// Blocks are made only where they cost less than what codes can do, tiles or panels.
void no_needless_blocks() {
  std::mt19937 random(37);
  const ConvAxis one;
  for (const std::size_t batch : {0u, 1u}) {
    for (const std::size_t size : {1u, 2u, 4u, 7u, 28u}) {
      const ConvShape s = shape(batch, 1, 64, 64, one, three(size, 1, 1), three(size, 1, 1));
      const SparseSample weight = sample(s, 64, 1.0, random, 31);
      const ConvWeight packed(*tested, weight.view(), 1, Winograd::transforms(*tested, s));
      const Conv conv(s, packed);
      CHECK(packed.form() == std::string("codes"));
    }
  }
}

// A net's first layer has too few channels for tiles: they took twice as long as panels.
void few_channels_cost_more() {
  const ConvAxis one;
  for (const std::size_t size : {28u, 112u}) {
    std::mt19937 random(47);
    const ConvShape s = shape(1, 1, 3, 32, one, three(size, 1, 1), three(size, 1, 1));
    const SparseSample weight = sample(s, 32, 1.0, random, 31);
    const WideLayout codes(*tested, weight.view(), 64, WideForm::CODES);
    CHECK(Winograd(*tested, s).cost() > codes.cheapest_tiling(s.axis[1].output * s.axis[2].output, codes.columns()).cost);
  }
}

void infinity() {
  std::mt19937 random(29);
  const ConvAxis one;
  for (const std::size_t size : {6u, 28u, 60u}) {
    const ConvShape s = shape(2, 1, 32, 32, one, three(size, 1, 1), three(size, 1, 1));
    const SparseSample weight = sample(s, 32, 1.0, random);
    conv_case::check_weight(*tested, s, weight, random, true);
    const auto tiles = [&](const ConvWeight& packed, const ConvArguments& arguments, float* y) {
      Scratch scratch;
      CHECK(!Winograd(*tested, s).run(packed, arguments, Serial(), scratch, y));
      return false;
    };
    if (tested->winograd != nullptr) conv_case::check_way(*tested, s, weight, random, tiles, true);
  }
}

// Finite in order, though not within a tile.
void overflow() {
  std::mt19937 random(41);
  const ConvAxis one;
  const ConvShape s = shape(1, 1, 32, 32, one, three(28, 1, 1), three(28, 1, 1));
  const SparseSample weight = sample(s, 32, 1.0, random);
  const std::vector<double> dense = weight.dense();
  for (const float scale : {1e35f, 1e36f, 3e36f, 1e37f}) {
    const std::size_t count = 32 * 28 * 28;
    const Guarded x(count), y(count);
    for (std::size_t i = 0; i < count; ++i) x[i] = scale * (static_cast<float>(random() % 2000) / 1000 - 1);
    const ConvWeight packed(*tested, weight.view(), 1, Winograd::transforms(*tested, s));
    Scratch scratch;
    Conv(s, packed).run(packed, {x.get(), nullptr, nullptr, nullptr, {}}, Serial(), scratch, y.get());
    for (std::size_t i = 0; i < count; ++i) {
      const double sum = conv_case::expected(s, dense, x.get(), 0, i / (28 * 28), {0, i / 28 % 28, i % 28});
      if (std::fabs(sum) < 5e37) CHECK(std::fabs(y[i] - sum) < 1e-4 * 17 * static_cast<double>(scale));
    }
  }
}

}  // namespace

int main() {
  for (const Variant* variant : runnable_variants()) {
    tested = variant;
    computed = 0;
    if (variant->winograd != nullptr) {
      all_shapes();
      if (std::string(variant->name).find("avx512") == 0) few_channels_cost_more();  // where it was measured
    }
    both_forms();
    no_needless_blocks();
    infinity();
    overflow();
  }
  return check::finish();
}
