//===- Compare.h - Where two dumps differ, and why -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_DUMP_COMPARE_H
#define FQAT_DUMP_COMPARE_H

#include "fqat/Dump/Dump.h"

#include "llvm/Support/raw_ostream.h"

#include <optional>
#include <vector>

namespace fqat::dump {

/// When two elements count as equal. Those that are, and two NaNs, always do.
struct Tolerance {
  /// |kit - board| <= atol + rtol * |kit|.
  double atol = 0, rtol = 0;
  /// `atol` is a multiple of the board's scale.
  bool isInSteps = false;
  /// Or at most so many float32 numbers apart.
  std::optional<uint32_t> ulp;
};

/// An element that differs.
struct Difference {
  Index index;
  /// Among the elements of the kit, as its kernels count them.
  uint64_t kitIndex = 0;
  /// In the board's file, its header counted.
  uint64_t boardByte = 0;
  /// Of packed elements: 0 for the low nibble, 1 for the high one.
  std::optional<unsigned> boardNibble;
  float kit = 0, board = 0;
  /// |kit - board|; infinite if one is a NaN or an infinity and the other is
  /// not.
  double magnitude = 0;
};

/// The errors of a channel or a row.
struct Errors {
  uint64_t different = 0;
  /// Of all its elements, tolerated ones included.
  double maxAbs = 0;
};

/// What `compare` finds.
struct Comparison {
  Shape shape;
  uint64_t count = 0, different = 0;
  double maxAbs = 0;
  /// The one with the least index of the kit, and the one with the largest
  /// magnitude (of several the first).
  std::optional<Difference> first, worst;
  /// Some of the others.
  std::vector<Difference> samples;
  /// By channel and by row, over all images.
  std::vector<Errors> channels, rows;
  /// `equal`, or the one mistake that explains all differences: `equal after
  /// transposing`, `shifted by one channel`, `nibbles swapped`, `scaled by
  /// 2^k`. Empty if there is none.
  std::string verdict;
  /// The same in a sentence, with what to do.
  std::string explanation;
};

/// Two dumps of one feature, which hold what is said of them.
struct Pair {
  std::shared_ptr<const DumpFile> kit, board;
  Format kitFormat, boardFormat;
  Shape shape;
};

struct CompareOptions {
  Tolerance tolerance;
  /// 0 for one a core.
  unsigned numThreads = 0;
  /// Where the differences go, if anywhere: a table (CSV) and a picture (PNG).
  llvm::raw_ostream *csv = nullptr, *png = nullptr;
  /// Room for kit - board as float32 (N,C,H,W), or null.
  uint8_t *array = nullptr;
};

Comparison compare(const Pair &pair, const CompareOptions &options);

} // namespace fqat::dump

#endif // FQAT_DUMP_COMPARE_H
