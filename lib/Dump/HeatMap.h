//===- HeatMap.h - A picture of where dumps differ -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_DUMP_HEATMAP_H
#define FQAT_LIB_DUMP_HEATMAP_H

#include "fqat/Dump/Dump.h"

#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <vector>

namespace fqat::dump {

/// The channels side by side, each a map of its largest differences over all
/// images. Large ones are drawn smaller, and of very many channels the first:
/// the picture's size is bounded.
class HeatMap {
public:
  explicit HeatMap(const Shape &shape);

  /// Threads may add at the same time.
  void add(uint64_t c, uint64_t h, uint64_t w, double magnitude) {
    if (c >= numChannels)
      return;
    std::atomic_ref<float> cell(
        cells[(c * height + h / step) * width + w / step]);
    auto value = static_cast<float>(magnitude);
    for (float old = cell.load(std::memory_order_relaxed); old < value;)
      if (cell.compare_exchange_weak(old, value, std::memory_order_relaxed))
        break;
  }

  /// Writes a PNG: black where nothing differs, from dark red to white as the
  /// difference grows to the largest finite one.
  void write(llvm::raw_ostream &os) const;

private:
  uint64_t numChannels, numColumns;
  /// Pixels of the dump along a side of one of the picture.
  uint64_t step;
  uint64_t height, width;
  std::vector<float> cells;
};

} // namespace fqat::dump

#endif // FQAT_LIB_DUMP_HEATMAP_H
