// x86-64 with AVX-512 F, BW, DQ and VL (Skylake-X on).
#include "kernels/variants/avx512_expand.h"

namespace sparsebook::kernels {
namespace {

constexpr WindowRow WINDOWS[] = {WORDS_16_4, WORDS_32_5, WORDS_64_4, WORDS_64_8};

bool supported() {
  return cpu_has(Feature::AVX512F) && cpu_has(Feature::AVX512BW) && cpu_has(Feature::AVX512DQ) && cpu_has(Feature::AVX512VL);
}

}  // namespace

extern const Variant AVX512;
const Variant AVX512 = {"avx512", supported, WINDOWS, sizeof WINDOWS / sizeof *WINDOWS, BLOCKS, BLOCK_COUNT, PANELS, PANEL_COUNT,
                        Sixteen::LANES, transpose_sixteens, copy_runs<Sixteen>, tap_sums<Sixteen>, lane_taps<Sixteen, true>, finish_sums<Sixteen>, store_channels<Sixteen>, gate_kernels<16>(), EXPAND, FLOAT_ROWS<Sixteen, 32>, &WINOGRAD};

}  // namespace sparsebook::kernels
