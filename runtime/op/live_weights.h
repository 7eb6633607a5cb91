// All decoded weights of the process: sessions share those of the same payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "abi/kernel_api.h"
#include "op/fingerprint.h"

namespace sparsebook::op {

/// A weight in the form that kernels compute from.
class DecodedWeight {
 public:
  explicit DecodedWeight(abi::Shape shape) : shape_(std::move(shape)) {}
  DecodedWeight(const DecodedWeight&) = delete;
  DecodedWeight& operator=(const DecodedWeight&) = delete;
  virtual ~DecodedWeight() = default;

  /// As stored.
  [[nodiscard]] const abi::Shape& shape() const { return shape_; }
  /// How it is laid out, in a word.
  [[nodiscard]] virtual const char* form() const = 0;
  /// Bytes that it takes in memory.
  [[nodiscard]] virtual std::size_t bytes() const = 0;

 private:
  abi::Shape shape_;
};

/// The weights that are held by someone.
class LiveWeights {
 public:
  /// What a weight is known by: its payload's fingerprint and size, and what is made of it.
  using Key = std::tuple<Fingerprint, std::size_t, std::string>;
  using Make = std::function<std::shared_ptr<const DecodedWeight>()>;

  static LiveWeights& of_process();

  /// The weight of this key: the one that lives, or what `make` gives. `name` is the graph's, of whoever asked first.
  [[nodiscard]] std::shared_ptr<const DecodedWeight> get(const Key& key, const std::string& name, const Make& make);

  /// A JSON array of {"weight", "form", "bytes", "isa"}, a weight an object.
  [[nodiscard]] std::string describe();

 private:
  struct Entry {
    std::string name;
    std::weak_ptr<const DecodedWeight> weight;
  };
  std::shared_ptr<const DecodedWeight> alive(const Key& key);

  std::mutex mutex_;
  std::map<Key, Entry> entries_;
};

}  // namespace sparsebook::op
