// sparsebook::LSTM and sparsebook::GRU: layers over sequences, both of whose weights are sparse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "abi/kernel_api.h"
#include "kernels/matmul.h"
#include "kernels/recurrent.h"
#include "kernels/scratch.h"
#include "op/custom_op.h"
#include "op/weight.h"

namespace sparsebook::op {

/// A weight [directions, gates x hidden, columns]: a matrix for every direction, or two where its rows are cut.
class RecurrentWeight final : public DecodedWeight {
 public:
  /// `matrix` has the rows of all directions; those of each are cut after the first `cut`, or not at all where it has no more.
  RecurrentWeight(abi::Shape shape, const kernels::SparseMatrix& matrix, std::size_t cut);
  /// Of all directions, the pieces of one behind each other.
  [[nodiscard]] const kernels::Matmul& piece(std::size_t index) const { return *pieces_[index]; }
  [[nodiscard]] const char* form() const override { return pieces_.front()->form(); }
  [[nodiscard]] std::size_t bytes() const override;

 private:
  std::vector<std::unique_ptr<const kernels::Matmul>> pieces_;
};

/// What LSTM and GRU have in common: attributes, weights, and the walk over the directions.
class Recurrent {
 protected:
  /// `cut` of the state's weight is in units of `hidden_size`.
  Recurrent(const abi::KernelInfo& info, std::int64_t gates, std::int64_t cut);

  /// Calls run(direction, input's weight, state's weight, sequences, threads, scratch) for every direction. `cell` says whether there
  /// is a state c besides h.
  template <class Run>
  void each_direction(const abi::KernelContext& context, bool cell, Run&& run) const;

 private:
  [[nodiscard]] Weight<RecurrentWeight> weight_of(const abi::KernelInfo& info, std::size_t input, std::int64_t columns, std::int64_t cut);
  [[nodiscard]] std::int64_t directions() const { return static_cast<std::int64_t>(backward_.size()); }

  std::int64_t gates_;
  std::int64_t hidden_;
  std::vector<bool> backward_;  ///< of every direction
  Weight<RecurrentWeight> input_;
  Weight<RecurrentWeight> recurrent_;
  std::shared_ptr<kernels::Scratch> scratch_;
};

class Lstm : Recurrent {
 public:
  static constexpr const char* NAME = "LSTM";
  // X, W, R, B, sequence_lens, initial_h, initial_c
  static constexpr Input INPUTS[] = {{abi::FLOAT},
                                     {abi::UINT8},
                                     {abi::UINT8},
                                     {abi::FLOAT, abi::OPTIONAL},
                                     {abi::INT32, abi::OPTIONAL},
                                     {abi::FLOAT, abi::OPTIONAL},
                                     {abi::FLOAT, abi::OPTIONAL}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::OPTIONAL, abi::OPTIONAL, abi::OPTIONAL};  // Y, Y_h, Y_c

  explicit Lstm(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;
};

class Gru : Recurrent {
 public:
  static constexpr const char* NAME = "GRU";
  // X, W, R, B, sequence_lens, initial_h
  static constexpr Input INPUTS[] = {{abi::FLOAT},
                                     {abi::UINT8},
                                     {abi::UINT8},
                                     {abi::FLOAT, abi::OPTIONAL},
                                     {abi::INT32, abi::OPTIONAL},
                                     {abi::FLOAT, abi::OPTIONAL}};
  static constexpr abi::Characteristic OUTPUTS[] = {abi::OPTIONAL, abi::OPTIONAL};  // Y, Y_h

  explicit Gru(const abi::KernelInfo& info);
  void compute(const abi::KernelContext& context) const;

 private:
  bool reset_behind_;
};

}  // namespace sparsebook::op
