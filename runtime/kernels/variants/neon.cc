// AArch64: every machine has it.
//
// There is no window kernel: a table look-up of four floats (`tbl` over four registers, with its byte indices to be made first) takes
// as long as four loads that go straight to them.
#include <arm_neon.h>

#include "kernels/variants/expand_kernel.h"
#include "kernels/variants/float_kernel.h"
#include "kernels/variants/gate_kernel.h"
#include "kernels/variants/lane_kernel.h"
#include "kernels/variants/panel_kernel.h"
#include "kernels/variants/tap_kernel.h"
#include "kernels/variants/transpose_kernel.h"
#include "kernels/variants/winograd_kernel.h"

namespace sparsebook::kernels {
namespace {

struct Quad {
  static constexpr unsigned LANES = 4;
  using Vector = float32x4_t;
  static Vector zero() { return vdupq_n_f32(0); }
  static Vector load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, Vector value) { vst1q_f32(to, value); }
  static Vector broadcast(const float* value) { return vld1q_dup_f32(value); }
  static Vector add(Vector a, Vector b) { return vaddq_f32(a, b); }
  static Vector multiply(Vector a, Vector b) { return vmulq_f32(a, b); }
  static Vector at_least(Vector low, Vector x) { return vmaxq_f32(low, x); }
  static Vector at_most(Vector high, Vector x) { return vminq_f32(high, x); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
  static Vector load_lanes(Vector into, std::uint16_t mask, const float* from) {
    for (unsigned i = 0; i < LANES; ++i) {
      if ((mask >> i & 1) != 0) into[i] = from[i];
    }
    return into;
  }
  static void store_lanes(float* to, std::uint16_t mask, Vector value) {
    for (unsigned i = 0; i < LANES; ++i) {
      if ((mask >> i & 1) != 0) to[i] = value[i];
    }
  }
};

// Thirty-two registers.
constexpr BlockRow BLOCKS[] = {block_row<One, 1, 2>(2, 10),  block_row<Quad, 1, 2>(2, 12),  block_row<Quad, 2, 2>(2.5f, 14),
                               block_row<Quad, 4, 2>(3, 16), block_row<Quad, 8, 2>(5, 20), block_row<Quad, 12, 1>(7, 24),
                               block_row<Quad, 16, 1>(9, 28)};

constexpr PanelRow PANELS[] = {panel_row<Quad, 1, 8>(10), panel_row<Quad, 2, 8>(12), panel_row<Quad, 3, 8>(16)};

// Thirty-two registers: twenty-four sums, two vectors of weights, an activation.
constexpr WinogradKernels WINOGRAD = winograd_kernels<Quad, WinogradValues<Quad>, WinogradValues<Quad>, 12, 2>({0.55f, 3, 6, 3});

bool always() { return true; }

}  // namespace

extern const Variant NEON;
const Variant NEON = {"neon", always, nullptr, 0, BLOCKS, sizeof BLOCKS / sizeof *BLOCKS, PANELS,
                      sizeof PANELS / sizeof *PANELS, Quad::LANES, transpose, copy_runs<Quad>, tap_sums<Quad>, lane_taps<Quad, true>, finish_sums<Quad>, store_channels<Quad>, gate_kernels<4>(),
                      {expand_elements, expand_elements}, FLOAT_ROWS<Quad, 32>, &WINOGRAD};

}  // namespace sparsebook::kernels
