// A node's payload in the form that its kernel computes from, decoded once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "abi/kernel_api.h"
#include "decode/error.h"
#include "decode/bytes.h"
#include "decode/layout.h"
#include "decode/payload.h"
#include "kernels/variants.h"
#include "op/fingerprint.h"
#include "op/live_weights.h"
#include "op/weight_error.h"

namespace sparsebook::op {

/// A payload's shape as ONNX Runtime writes shapes.
[[nodiscard]] inline abi::Shape shape_of(const decode::Payload& payload) {
  return {payload.shape.begin(), payload.shape.end()};
}

/// A symbol of one bit stands for up to 256 elements. Beyond that only constant streams go, which take no bytes: of those so many elements are
/// believed as a weight without a use may have, which bounds by some GB what a small file makes a session allocate.
inline constexpr std::uint64_t ELEMENTS_A_BYTE = 8 * 256;
inline constexpr std::uint64_t CONSTANT_ELEMENTS = std::uint64_t{1} << 28;

inline void refuse_bomb(const decode::Payload& payload, std::size_t size) {
  // In version 2 every 65,536 elements take 20 bytes at least, which its parser checks.
  if (payload.contexts) return;
  if (payload.elements <= CONSTANT_ELEMENTS || payload.elements / ELEMENTS_A_BYTE <= size) return;
  throw abi::OperatorError("the weight's shape " + abi::to_string(shape_of(payload)) + " has " + std::to_string(payload.elements) +
                           " elements, more than a payload of " + std::to_string(size) + " bytes holds; the file is damaged, or meant to exhaust memory");
}

/// `Form` is a DecodedWeight that `make` gives for a payload; `make` throws PayloadError for a bad one. `check` throws OperatorError for
/// a shape that does not fit the node, and is called before anything is decoded. Both leave here as a WeightError. `kind` says what is
/// made, and all that it depends on besides the payload. A constant payload is decoded when the session is created. One that reaches a subgraph from outside is
/// decoded at its first use and kept until the node is given another.
template <class Form>
class Weight {
 public:
  using Check = std::function<void(const abi::Shape&)>;
  using Make = std::function<std::shared_ptr<const Form>(const decode::Payload&)>;

  Weight(const abi::KernelInfo& info, std::size_t input, std::string kind, Check check, Make make)
      : input_(input), name_(info.input_name(input)), kind_(std::move(kind)), check_(std::move(check)), make_(std::move(make)) {
    if (const auto payload = info.constant_input(input_)) {
      constant_ = named_form_of(*payload, fingerprint(payload->bytes(), payload->elements()));
      info.log("sparsebook: weight '" + name_ + "' as " + constant_->form() + ", " + std::to_string(constant_->bytes()) +
               " bytes, kernels " + kernels::chosen_variant().name);
    }
  }

  /// The form of the node's payload. Safe to call from several threads.
  [[nodiscard]] std::shared_ptr<const Form> get(const abi::KernelContext& context) const {
    if (constant_) return constant_;
    const abi::Tensor payload = context.input(input_);
    const Place place = place_of(payload);
    // Decoding under the lock: threads that want the same payload wait for it instead of decoding it as well.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!latest_ || !(place == latest_place_)) {
      latest_ = named_form_of(payload, fingerprint(payload.bytes(), payload.elements()));
      latest_place_ = place;
    }
    return latest_;
  }

 private:
  // Where a payload lies. Two at one place of one node with one size and one CRC-32 are one, which is known without reading them.
  struct Place {
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
    std::uint32_t checksum = 0;
    bool operator==(const Place& other) const {
      return data == other.data && size == other.size && checksum == other.checksum;
    }
  };

  static Place place_of(const abi::Tensor& payload) {
    const std::size_t size = payload.elements();
    const bool is_whole = size >= decode::CHECKSUM_BYTES;
    return {payload.bytes(), size, is_whole ? decode::load_u32(payload.bytes() + size - decode::CHECKSUM_BYTES) : 0};
  }

  std::shared_ptr<const Form> named_form_of(const abi::Tensor& payload, const Fingerprint& found) const {
    try {
      return form_of(payload, found);
    } catch (const decode::PayloadError& error) {
      throw WeightError(name_, error.what());
    } catch (const abi::OperatorError& error) {
      throw WeightError(name_, error.what());
    }
  }

  std::shared_ptr<const Form> form_of(const abi::Tensor& payload, const Fingerprint& found) const {
    const auto make = [&] {
      const decode::Payload parsed = decode::parse(payload.bytes(), payload.elements());
      check_(shape_of(parsed));
      refuse_bomb(parsed, payload.elements());
      return std::shared_ptr<const DecodedWeight>(make_(parsed));
    };
    const auto weight = LiveWeights::of_process().get({found, payload.elements(), kind_}, name_, make);
    check_(weight->shape());
    return std::static_pointer_cast<const Form>(weight);  // `kind_` names one type
  }

  std::size_t input_;
  std::string name_;
  std::string kind_;
  Check check_;
  Make make_;
  std::shared_ptr<const Form> constant_;
  mutable std::mutex mutex_;
  mutable Place latest_place_;
  mutable std::shared_ptr<const Form> latest_;
};

}  // namespace sparsebook::op
