// Any machine: what the others are compared with.
#include "kernels/variants/expand_kernel.h"
#include "kernels/variants/float_kernel.h"
#include "kernels/variants/gate_kernel.h"
#include "kernels/variants/lane_kernel.h"
#include "kernels/variants/panel_kernel.h"
#include "kernels/variants/tap_kernel.h"
#include "kernels/variants/transpose_kernel.h"

namespace sparsebook::kernels {
namespace {

/// Four floats side by side, as plain C++; the compiler may use whatever the baseline has.
struct Four {
  static constexpr unsigned LANES = 4;
  struct Vector {
    float lane[LANES];
  };
  static Vector zero() { return {}; }
  static Vector load(const float* from) { return {{from[0], from[1], from[2], from[3]}}; }
  static void store(float* to, const Vector& value) {
    for (unsigned i = 0; i < LANES; ++i) to[i] = value.lane[i];
  }
  static Vector broadcast(const float* value) { return {{*value, *value, *value, *value}}; }
  static Vector add(Vector a, const Vector& b) {
    for (unsigned i = 0; i < LANES; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  static Vector multiply(Vector a, const Vector& b) {
    for (unsigned i = 0; i < LANES; ++i) a.lane[i] *= b.lane[i];
    return a;
  }
  static Vector at_least(const Vector& low, Vector x) {
    for (unsigned i = 0; i < LANES; ++i) x.lane[i] = x.lane[i] < low.lane[i] ? low.lane[i] : x.lane[i];
    return x;
  }
  static Vector at_most(const Vector& high, Vector x) {
    for (unsigned i = 0; i < LANES; ++i) x.lane[i] = x.lane[i] > high.lane[i] ? high.lane[i] : x.lane[i];
    return x;
  }
  static Vector multiply_add(const Vector& a, const Vector& b, Vector c) {
    for (unsigned i = 0; i < LANES; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
  }
  static Vector load_lanes(Vector into, std::uint16_t mask, const float* from) {
    for (unsigned i = 0; i < LANES; ++i) {
      if ((mask >> i & 1) != 0) into.lane[i] = from[i];
    }
    return into;
  }
  static void store_lanes(float* to, std::uint16_t mask, const Vector& value) {
    for (unsigned i = 0; i < LANES; ++i) {
      if ((mask >> i & 1) != 0) to[i] = value.lane[i];
    }
  }
};

constexpr BlockRow BLOCKS[] = {block_row<One, 1, 2>(3, 12), block_row<Four, 1, 2>(3, 14), block_row<Four, 2, 2>(4, 16),
                               block_row<Four, 4, 2>(6, 18), block_row<Four, 8, 1>(10, 22)};

constexpr PanelRow PANELS[] = {panel_row<One, 1, 8>(12), panel_row<Four, 1, 8>(14), panel_row<Four, 2, 4>(20), panel_row<Four, 4, 2>(36)};

bool always() { return true; }

}  // namespace

extern const Variant SCALAR;
const Variant SCALAR = {"scalar", always, nullptr, 0, BLOCKS, sizeof BLOCKS / sizeof *BLOCKS, PANELS,
                        sizeof PANELS / sizeof *PANELS, Four::LANES, transpose, copy_runs<Four>, tap_sums<Four>, lane_taps<Four, false>, finish_sums<Four>, store_channels<Four>, gate_kernels<4>(),
                        {expand_elements, expand_elements}, FLOAT_ROWS<Four, 16>, nullptr};

}  // namespace sparsebook::kernels
