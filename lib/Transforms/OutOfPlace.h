//===- OutOfPlace.h - A write that becomes out of place -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TRANSFORMS_OUTOFPLACE_H
#define FQAT_LIB_TRANSFORMS_OUTOFPLACE_H

#include "fqat/IR/FQATOps.h"

namespace fqat {

/// Whether an op writes its first operand, returns it, and writes nothing else:
/// what `makeOutOfPlace` takes.
bool writesFirstOperand(OperatorOp op);

/// Makes an op that writes its first operand compute the same bits out of
/// place: an activation by its other form, any other op on a copy, because it
/// may convert its operands. Readers of the first operand are the caller's
/// business.
void makeOutOfPlace(OperatorOp op);

} // namespace fqat

#endif // FQAT_LIB_TRANSFORMS_OUTOFPLACE_H
