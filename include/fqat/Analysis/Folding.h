//===- Folding.h - Operators on known numbers -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_ANALYSIS_FOLDING_H
#define FQAT_ANALYSIS_FOLDING_H

#include "mlir/IR/BuiltinAttributes.h"

namespace fqat {

/// What a TorchScript operator on ints, floats, bools, strings and None makes
/// of known operands, or null where that is not known. It knows the operators
/// that conditions and trip counts are made of.
mlir::Attribute foldOperator(llvm::StringRef name,
                             llvm::ArrayRef<mlir::Attribute> operands);

} // namespace fqat

#endif // FQAT_ANALYSIS_FOLDING_H
