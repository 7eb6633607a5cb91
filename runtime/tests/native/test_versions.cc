// Which table is asked for, of every ONNX Runtime there may be.
#include <cstdint>
#include <string>

#include "abi/ort_abi.h"
#include "check.h"

namespace abi = sparsebook::abi;

namespace {

std::string version;
std::uint32_t asked = 0;
void (*const TABLE[])() = {nullptr};

const abi::OrtApiBase BASE = {[](std::uint32_t wanted) {
                                asked = wanted;
                                return static_cast<const abi::OrtApi*>(TABLE);
                              },
                              [] { return version.c_str(); }};

// The version that is asked for, or 0 if none is.
std::uint32_t asked_of(const char* onnxruntime) {
  version = onnxruntime;
  asked = 0;
  const abi::Versioned found = abi::newest_api(&BASE);
  CHECK(found.version == asked);
  CHECK((found.api == nullptr) == (asked == 0));
  return asked;
}

}  // namespace

int main() {
  CHECK(asked_of("1.9.0") == 0);
  CHECK(asked_of("1.15.1") == 0);
  CHECK(asked_of("1.16.0") == 16);
  CHECK(asked_of("1.17.3") == 17);
  CHECK(asked_of("1.19.2+cpu") == 17);
  CHECK(asked_of("1.23.2") == 17);
  CHECK(asked_of("1.24.1") == 24);
  CHECK(asked_of("1.32.0") == 24);
  CHECK(asked_of("2.0.0") == 24);
  return check::finish();
}
