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

namespace fqat::dump {

/// The channels side by side, each a map of its largest differences over all
/// images. Large ones are drawn smaller, and of very many channels the first:
/// the picture's size is bounded.
class HeatMap {
public:
  explicit HeatMap(const Shape &shape);

  void add(uint64_t c, uint64_t h, uint64_t w, double magnitude) {
    if (c >= numChannels)
      return;
    float &cell = cells[(c * height + h / step) * width + w / step];
    cell = std::max(cell, static_cast<float>(magnitude));
  }
  void merge(const HeatMap &other);

  /// Writes a PNG: black where nothing differs, from dark red to white as the
  /// difference grows to `largest`.
  llvm::Error write(llvm::StringRef path, double largest) const;

private:
  uint64_t numChannels, numColumns;
  /// Pixels of the dump along a side of one of the picture.
  uint64_t step;
  uint64_t height, width;
  std::vector<float> cells;
};

} // namespace fqat::dump

#endif // FQAT_LIB_DUMP_HEATMAP_H
