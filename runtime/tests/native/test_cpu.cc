// Asking the processor gives what the system says of it.
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "check.h"
#include "kernels/cpu.h"

using sparsebook::kernels::cpu_has;
using sparsebook::kernels::Feature;

namespace {

constexpr struct {
  Feature feature;
  const char* name;  ///< in /proc/cpuinfo
} FEATURES[] = {{Feature::AVX2, "avx2"},         {Feature::FMA, "fma"},
                {Feature::AVX512F, "avx512f"},   {Feature::AVX512BW, "avx512bw"},       {Feature::AVX512DQ, "avx512dq"},
                {Feature::AVX512VL, "avx512vl"}, {Feature::AVX512_VBMI, "avx512vbmi"}, {Feature::AVX512_VBMI2, "avx512_vbmi2"}};

#if defined(__x86_64__) && defined(__linux__)
std::set<std::string> said() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) continue;
  std::istringstream words(line);
  std::set<std::string> found;
  for (std::string word; words >> word;) found.insert(word);
  return found;
}
#endif

}  // namespace

int main() {
#if defined(__x86_64__) && defined(__linux__)
  const std::set<std::string> flags = said();
  for (const auto& [feature, name] : FEATURES) CHECK(cpu_has(feature) == (flags.count(name) != 0));
#elif !defined(__x86_64__)
  for (const auto& row : FEATURES) CHECK(!cpu_has(row.feature));
#endif
  for (const auto& [feature, name] : FEATURES) std::printf("%s%s", cpu_has(feature) ? name : "-", " ");
  // Wider registers come on top of narrower ones.
  CHECK(!cpu_has(Feature::AVX512F) || cpu_has(Feature::AVX2));
  return check::finish();
}
