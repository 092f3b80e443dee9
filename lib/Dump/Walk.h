//===- Walk.h - The elements of two dumps, in pieces -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Dumps are read in pieces of some pixels and all channels, so small that what
// lies across the one layout and along the other is still in the cache when it
// is needed again:
//
//   NCHW: c0 [p0 p1 p2 ...] c1 [p0 p1 p2 ...]
//   NHWC: p0 [c0 c1 ...] p1 [c0 c1 ...]
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_DUMP_WALK_H
#define FQAT_LIB_DUMP_WALK_H

#include "fqat/Dump/Dump.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <algorithm>
#include <thread>
#include <vector>

namespace fqat::dump {

/// The element behind `index` by `offset` in the order of rows.
inline Index advance(const Shape &shape, Index index, uint64_t offset) {
  index.w += offset;
  index.h += index.w / shape.w;
  index.w %= shape.w;
  return index;
}

/// Some pixels, in the order of rows, of one image.
struct Piece {
  Index begin;
  uint64_t count;
};

/// The pieces of a shape.
class Pieces {
public:
  /// The rows of an image are cut each for itself unless they are `flat`.
  Pieces(const Shape &shape, bool isFlat)
      : shape(shape), rowLength(isFlat ? shape.h * shape.w : shape.w),
        numRows(isFlat ? 1 : shape.h) {
    constexpr uint64_t elements = 16384, least = 64, most = 4096;
    length = std::clamp(elements / shape.c, least, most);
    numPerRow = (rowLength + length - 1) / length;
  }

  uint64_t size() const { return shape.n * numRows * numPerRow; }
  uint64_t getLength() const { return length; }

  Piece operator[](uint64_t i) const {
    uint64_t at = i % numPerRow * length, row = i / numPerRow;
    uint64_t h = row % numRows + at / shape.w;
    return {{row / numRows, 0, h, at % shape.w},
            std::min(length, rowLength - at)};
  }

private:
  Shape shape;
  uint64_t rowLength, numRows, length, numPerRow;
};

/// How many threads to use if `given` are asked for, 0 for one a core: more
/// than cores are of no use.
inline unsigned getNumThreads(unsigned given) {
  unsigned most = std::max(1u, std::thread::hardware_concurrency());
  return given == 0 ? most : std::min(given, most);
}

/// Runs `body(begin, end, thread)` on parts of 0..count.
inline void
forEachPart(uint64_t count, unsigned numThreads,
            llvm::function_ref<void(uint64_t, uint64_t, unsigned)> body) {
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < numThreads; ++i)
    threads.emplace_back(
        [=] { body(count * i / numThreads, count * (i + 1) / numThreads, i); });
  body(0, count / numThreads, 0);
  for (std::thread &thread : threads)
    thread.join();
}

} // namespace fqat::dump

#endif // FQAT_LIB_DUMP_WALK_H
