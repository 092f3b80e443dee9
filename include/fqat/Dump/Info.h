//===- Info.h - What a dump looks like -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_DUMP_INFO_H
#define FQAT_DUMP_INFO_H

#include "fqat/Dump/Dump.h"

namespace fqat::dump {

/// The elements of a file, read as one type.
struct Info {
  ElementType type;
  /// In the file, and as this type; 0 elements where the size does not fit.
  uint64_t numBytes = 0, count = 0;
  uint64_t numNaN = 0, numInfinite = 0, numZero = 0;
  /// Of the finite ones; nothing if there is none.
  std::optional<double> min, max, mean;
  /// Shapes that have as many elements, in all the types that fit.
  struct Fit {
    ElementType type;
    uint64_t count;
    std::vector<Shape> shapes;
  };
  std::vector<Fit> fits;
  /// In sentences: the bytes look like another type, or another layout.
  std::vector<std::string> warnings;
};

/// Reads a file as `format`. If `shape` is given the file must hold it, and the
/// layout is looked at as well.
llvm::Expected<Info> describe(const DumpFile &file, const Format &format,
                              const std::optional<Shape> &shape);

} // namespace fqat::dump

#endif // FQAT_DUMP_INFO_H
