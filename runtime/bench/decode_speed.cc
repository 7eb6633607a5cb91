// How fast payloads are read, in elements of CPU time: decode_speed FILE... prints one line of JSON a file. The best of several passes over
// all segments, by the same reader that every operator fills its layout from.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <vector>

#include "decode/payload.h"
#include "decode/segment_reader.h"

namespace {

using namespace sparsebook::decode;

constexpr double LEAST_SECONDS = 0.5;
constexpr int LEAST_PASSES = 5;

double now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::uint64_t read_all(const Payload& payload) {
  std::uint64_t sum = 0;
  SegmentReader reader(payload);
  while (const Segment* segment = reader.next()) sum += segment->symbols + segment->codes[0];
  return sum;
}

void measure(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> text((std::istreambuf_iterator<char>(file)), {});
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const Payload payload = parse(bytes, text.size());
  double best = 1e9;
  double total = 0;
  std::uint64_t sum = 0;
  for (int pass = 0; pass < LEAST_PASSES || total < LEAST_SECONDS; ++pass) {
    const double began = now();
    sum += read_all(payload);
    const double took = now() - began;
    best = std::min(best, took);
    total += took;
  }
  std::printf("{\"file\": \"%s\", \"elements\": %llu, \"seconds\": %.9f, \"read\": %llu}\n", path,
              static_cast<unsigned long long>(payload.elements), best, static_cast<unsigned long long>(sum));
}

}  // namespace

int main(int count, char** paths) {
  for (int i = 1; i < count; ++i) measure(paths[i]);
  return 0;
}
