//===- BitWidths.h - Bit widths by instance pattern -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TRANSFORMS_BITWIDTHS_H
#define FQAT_TRANSFORMS_BITWIDTHS_H

#include "fqat/Support/Globs.h"

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/Twine.h"

#include <vector>

namespace fqat {

/// A line of a file of bit widths: what it gives the layers in the instances
/// that match. 0 is not given.
struct BitPattern {
  InstanceGlob glob;
  unsigned feature = 0, weight = 0;
  /// Where it stands, from 1.
  unsigned line, column;
};

/// Reads a file of bit widths: YAML, a mapping of globs to what they give.
///
///     "*": {feature: 8, weight: 8}
///     model.22.cv3.*: {feature: 12}
///
/// Of the patterns that match a layer, a later one wins, for each of the two by
/// itself. `onError` is told the line and column, from 1, or 0 for the file as
/// a whole, and what is wrong there: a file that cannot be read, no such
/// mapping, a bad glob, widths that no board has. Fails if it was called.
mlir::FailureOr<std::vector<BitPattern>> readBitPatterns(
    llvm::StringRef path,
    llvm::function_ref<void(unsigned, unsigned, const llvm::Twine &)> onError);

} // namespace fqat

#endif // FQAT_TRANSFORMS_BITWIDTHS_H
