// What this machine can run of what only some processors of its kind have.
#pragma once

namespace sparsebook::kernels {

enum class Feature : unsigned { AVX2, FMA, AVX512F, AVX512BW, AVX512DQ, AVX512VL, AVX512_VBMI, AVX512_VBMI2 };

/// Whether both the processor and the system have it: registers that the system does not keep for a thread are of no use. False
/// for all of them on other than x86_64. Stands for __builtin_cpu_supports, to which Zig's runtime library answers no, always.
[[nodiscard]] bool cpu_has(Feature feature) noexcept;

}  // namespace sparsebook::kernels
