//===- ChangeCounts.h - What the passes did -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TRANSFORMS_CHANGECOUNTS_H
#define FQAT_TRANSFORMS_CHANGECOUNTS_H

#include "mlir/Pass/AnalysisManager.h"

namespace fqat {

/// What the passes of one run saw and did so far. An analysis that no pass
/// invalidates: pass statistics count the same, but LLVM's packages are built
/// without them.
struct ChangeCounts {
  explicit ChangeCounts(mlir::Operation *) {}
  bool isInvalidated(const mlir::AnalysisManager::PreservedAnalyses &) {
    return false;
  }

  unsigned anchors = 0;
  unsigned crossingValues = 0;
  unsigned nopsInserted = 0;
  unsigned instancesCloned = 0;
  unsigned twinsUsed = 0;
  unsigned opsMoved = 0;
  unsigned husksRemoved = 0;
  unsigned methodsRenamed = 0;
  unsigned listsLowered = 0;
  unsigned loopsUnrolled = 0;
  unsigned functionsInlined = 0;

  /// Whether any pass changed the model.
  bool any() const {
    return nopsInserted || instancesCloned || twinsUsed || opsMoved ||
           husksRemoved || methodsRenamed || listsLowered || loopsUnrolled ||
           functionsInlined;
  }
};

} // namespace fqat

#endif // FQAT_TRANSFORMS_CHANGECOUNTS_H
