#include "kernels/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace sparsebook::kernels {

#if defined(__x86_64__)
namespace {

constexpr unsigned OSXSAVE = 1U << 27;   // of leaf 1, ECX: XGETBV may be asked
constexpr unsigned AVX_STATE = 0x06;     // of XCR0: the system keeps XMM and YMM
constexpr unsigned AVX512_STATE = 0xe6;  // and the masks, and all of ZMM

unsigned bit(bool value, Feature feature) { return value ? 1U << static_cast<unsigned>(feature) : 0; }

unsigned find_features() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & OSXSAVE) == 0) return 0;
  const bool fma = (ecx >> 12 & 1) != 0;
  unsigned state = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(state), "=d"(high) : "c"(0));
  if ((state & AVX_STATE) != AVX_STATE || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return 0;
  const auto avx512 = [&, whole = (state & AVX512_STATE) == AVX512_STATE](unsigned of, unsigned place) {
    return whole && (of >> place & 1) != 0;
  };
  return bit((ebx >> 5 & 1) != 0, Feature::AVX2) | bit(fma, Feature::FMA) | bit(avx512(ebx, 16), Feature::AVX512F) | bit(avx512(ebx, 30), Feature::AVX512BW) |
         bit(avx512(ebx, 17), Feature::AVX512DQ) | bit(avx512(ebx, 31), Feature::AVX512VL) |
         bit(avx512(ecx, 1), Feature::AVX512_VBMI) | bit(avx512(ecx, 6), Feature::AVX512_VBMI2);
}

}  // namespace

bool cpu_has(Feature feature) noexcept {
  static const unsigned found = find_features();
  return (found & bit(true, feature)) != 0;
}
#else
bool cpu_has(Feature) noexcept { return false; }
#endif

}  // namespace sparsebook::kernels
