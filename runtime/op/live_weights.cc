#include "op/live_weights.h"

#include <iterator>

#include "kernels/variants.h"

namespace sparsebook::op {
namespace {

// As JSON has strings. ONNX names are UTF-8, which passes as it is.
std::string quoted(const std::string& text) {
  static const char* const digits = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20) {
      result += "\\u00";
      result += digits[byte >> 4];
      result += digits[byte & 15];
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace

LiveWeights& LiveWeights::of_process() {
  // Never destroyed: kernels may outlive the statics of this library.
  static LiveWeights& all = *new LiveWeights;
  return all;
}

std::shared_ptr<const DecodedWeight> LiveWeights::alive(const Key& key) {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second.weight.lock();
}

std::shared_ptr<const DecodedWeight> LiveWeights::get(const Key& key, const std::string& name, const Make& make) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (auto weight = alive(key)) return weight;
  }
  auto made = make();  // outside of the lock: two sessions that come at once may both decode, and keep one
  const std::lock_guard<std::mutex> lock(mutex_);
  if (auto weight = alive(key)) return weight;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    entry = entry->second.weight.expired() ? entries_.erase(entry) : std::next(entry);
  }
  entries_[key] = {name, made};
  return made;
}

std::string LiveWeights::describe() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string result = "[";
  for (const auto& [key, entry] : entries_) {
    const auto weight = entry.weight.lock();
    if (!weight) continue;
    if (result.size() > 1) result += ", ";
    result += "{\"weight\": " + quoted(entry.name) + ", \"form\": " + quoted(weight->form()) +
              ", \"bytes\": " + std::to_string(weight->bytes()) + ", \"isa\": " + quoted(kernels::chosen_variant().name) + "}";
  }
  return result + "]";
}

}  // namespace sparsebook::op
