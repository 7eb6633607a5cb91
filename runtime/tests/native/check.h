// The whole test framework: CHECK counts failures and goes on, `finish` turns them into the exit status.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

#include "decode/error.h"

namespace check {

inline int failures = 0;
inline int checks = 0;

inline void that(bool holds, const char* expression, const char* file, int line) {
  ++checks;
  if (holds) return;
  ++failures;
  std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, expression);
}

/// The id of the PayloadError that `body` throws, or "" if it throws none.
template <class Body>
std::string payload_error(Body&& body) {
  try {
    body();
  } catch (const sparsebook::decode::PayloadError& error) {
    return error.id();
  }
  return "";
}

inline bool close(double found, double expected, double scale = 1) {
  return std::fabs(found - expected) <= 1e-5 * (std::fabs(expected) + scale);
}

inline int finish() {
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 && checks != 0 ? 0 : 1;
}

}  // namespace check

#define CHECK(expression) check::that((expression), #expression, __FILE__, __LINE__)
