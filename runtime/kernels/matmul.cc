#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/accumulate.h"

namespace sparsebook::kernels {
namespace {

class Output {
 public:
  Output(const Epilogue& epilogue, std::size_t columns, float* y) : epilogue_(epilogue), columns_(columns), y_(y) {}

  void store(std::size_t m, std::size_t n, float sum) const {
    float value = epilogue_.alpha * sum;
    if (epilogue_.bias != nullptr) {
      value += epilogue_.beta * epilogue_.bias[m * epilogue_.bias_row_stride + n * epilogue_.bias_column_stride];
    }
    y_[m * columns_ + n] = epilogue_.activation(value);
  }

 private:
  const Epilogue& epilogue_;
  std::size_t columns_;
  float* y_;
};

void one_row(const SparseMatrix& weight, const Activations& x, std::size_t m, const Output& out) {
  const auto offset = [stride = x.column_stride](std::uint32_t column) { return column * stride; };
  for (std::size_t n = 0; n < weight.rows; ++n) {
    out.store(m, n, accumulate_one(weight, n, x.data + m * x.row_stride, offset));
  }
}

// `count` rows from row `first` on, as WIDTH lanes. The rows are transposed first, so that a non-zero meets its lanes side by
// side; lanes beyond `count` are zero.
template <unsigned WIDTH>
void row_block(const SparseMatrix& weight, const Activations& x, std::size_t first, std::size_t count, const Output& out,
               float* lanes) {
  for (std::size_t lane = 0; lane < WIDTH; ++lane) {
    const float* row = x.data + (first + lane) * x.row_stride;
    for (std::size_t k = 0; k < weight.columns; ++k) {
      lanes[k * WIDTH + lane] = lane < count ? row[k * x.column_stride] : 0.0f;
    }
  }
  const auto offset = [](std::uint32_t column) { return std::size_t{column} * WIDTH; };
  float sums[WIDTH];
  for (std::size_t n = 0; n < weight.rows; ++n) {
    accumulate<WIDTH>(weight, n, lanes, offset, sums);
    for (std::size_t lane = 0; lane < count; ++lane) out.store(first + lane, n, sums[lane]);
  }
}

// The narrowest block that takes `rows` rows, or the widest there is.
unsigned block_width(std::size_t rows) {
  for (const unsigned width : {1u, 4u, 8u, 16u}) {
    if (rows <= width) return width;
  }
  return MAX_TILE;
}

}  // namespace

std::size_t matmul_scratch(const SparseMatrix& weight, std::size_t rows) {
  const unsigned width = block_width(rows);
  return width == 1 ? 0 : width * weight.columns;
}

void matmul(const SparseMatrix& weight, const Activations& x, const Epilogue& epilogue, float* scratch, float* y) {
  const Output out(epilogue, weight.rows, y);
  for (std::size_t m = 0; m < x.rows;) {
    const unsigned width = block_width(x.rows - m);
    const std::size_t count = std::min<std::size_t>(width, x.rows - m);
    switch (width) {
      case 1: one_row(weight, x, m, out); break;
      case 4: row_block<4>(weight, x, m, count, out, scratch); break;
      case 8: row_block<8>(weight, x, m, count, out, scratch); break;
      case 16: row_block<16>(weight, x, m, count, out, scratch); break;
      default: row_block<MAX_TILE>(weight, x, m, count, out, scratch); break;
    }
    m += count;
  }
}

}  // namespace sparsebook::kernels
