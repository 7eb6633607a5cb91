// What is wrong with one weight of a node, which may have several.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace sparsebook::op {

class WeightError : public std::runtime_error {
 public:
  WeightError(std::string weight, const char* what) : std::runtime_error(what), weight_(std::move(weight)) {}

  /// The name of the payload's input.
  [[nodiscard]] const std::string& weight() const noexcept { return weight_; }

 private:
  std::string weight_;
};

}  // namespace sparsebook::op
