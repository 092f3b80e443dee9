//===- DeadOps.h - What a change left without a reader -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What passes call at their end, so that no op stays that only a gone one read.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_DEADOPS_H
#define FQAT_SUPPORT_DEADOPS_H

#include "mlir/IR/BuiltinOps.h"

namespace fqat {

/// Erases what a change left without a reader: ops without effects, and reads
/// of instances that mark the place of a call which is no longer there. Takes
/// the one arm of an if on a constant, or on whether something is None that
/// never or always is, and the elements of a tuple that is taken apart; orders
/// the results of ifs by who reads them first. TorchScript's loader does the
/// same, so that a file that was fixed once does not change any more.
void eraseDeadOps(mlir::ModuleOp model);

} // namespace fqat

#endif // FQAT_SUPPORT_DEADOPS_H
