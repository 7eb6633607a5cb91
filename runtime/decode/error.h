// The one error of this folder: a payload that violates docs/format.md.
#pragma once

#include <stdexcept>
#include <string>

namespace sparsebook::decode {

/// A violated rule of docs/format.md, section 5. `what()` reads "payload: <id>: <detail>".
class PayloadError : public std::runtime_error {
 public:
  PayloadError(const char* id, const std::string& detail)
      : std::runtime_error("payload: " + std::string(id) + ": " + detail), id_(id) {}

  /// The rule's id, one of the literals of section 5.
  [[nodiscard]] const char* id() const noexcept { return id_; }

 private:
  const char* id_;
};

}  // namespace sparsebook::decode
