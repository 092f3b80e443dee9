//===- Proof.h - Two models compute the same bits -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Translation validation: both models run symbolically over the same inputs,
// into one table of terms, so that equal values get equal numbers. Nothing here
// knows what a pass did or why.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_PROOF_PROOF_H
#define FQAT_PROOF_PROOF_H

#include "mlir/IR/BuiltinOps.h"

namespace fqat {

/// Shows that `fixed` computes what `original` does, without running either:
/// the outputs of every method of the root, the inputs and slots that they
/// write, the order of random draws and of what is seen from outside, and the
/// slots themselves. A new instance must be an out_nop or equal an original
/// one; `tiesClones` says that it holds the very tensors of its source. Both
/// models are in one context.
///
/// Fails, with a diagnostic that names the first difference or what was not
/// decided, the operators on both sides and their Python lines.
llvm::LogicalResult proveEqual(mlir::ModuleOp original, mlir::ModuleOp fixed,
                               bool tiesClones);

} // namespace fqat

#endif // FQAT_PROOF_PROOF_H
