//===- ListReads.h - Reads of lists that are built up -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TRANSFORMS_LISTREADS_H
#define FQAT_LIB_TRANSFORMS_LISTREADS_H

#include "mlir/IR/Operation.h"

namespace fqat {

/// Lets what reads a list or dict, that its own body builds up step by step,
/// read the elements instead: `l[0]` becomes what was appended first, `cat(l)`
/// reads a list of its own. `container` is the `fqat.list` or `fqat.dict`; the
/// returns and whatever else holds it keep it. Stops where the elements are no
/// longer known. Returns whether anything changed.
bool forwardListReads(mlir::Operation *container);

} // namespace fqat

#endif // FQAT_LIB_TRANSFORMS_LISTREADS_H
