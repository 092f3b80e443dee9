//===- FQATDialect.h - The fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_IR_FQATDIALECT_H
#define FQAT_IR_FQATDIALECT_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"

#include "fqat/IR/FQATDialect.h.inc"

#define GET_TYPEDEF_CLASSES
#include "fqat/IR/FQATTypes.h.inc"

#define GET_ATTRDEF_CLASSES
#include "fqat/IR/FQATAttrs.h.inc"

namespace fqat {

/// Whether TorchScript takes a value of type `from` where `to` is declared: a
/// tensor for an optional, say. Types that only TorchScript knows
/// (`object<...>`) are taken for one another.
bool isSubtype(mlir::Type from, mlir::Type to);

} // namespace fqat

#endif // FQAT_IR_FQATDIALECT_H
