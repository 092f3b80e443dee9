//===- Types.h - Types of TorchScript and of the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TORCHSCRIPT_TYPES_H
#define FQAT_LIB_TORCHSCRIPT_TYPES_H

#include "mlir/IR/Types.h"
#include "llvm/ADT/StringRef.h"
#include <ATen/core/jit_type.h>

namespace fqat {

/// The dialect's type for one of TorchScript. Refinements that a graph carries
/// (sizes, dtype) are dropped: TorchScript does not write them either.
mlir::Type convertType(const c10::TypePtr &type, mlir::MLIRContext *context);

/// A type that has a name, or null. `cast<c10::NamedType>` knows no enums.
c10::NamedTypePtr getNamedType(const c10::TypePtr &type);

/// Resolves what only TorchScript knows: classes, enums, unions.
using TypeResolver = llvm::function_ref<c10::TypePtr(llvm::StringRef)>;

/// TorchScript's type for one of the dialect, or null if it is not known.
/// `resolve` gets what an `object<...>` spells.
c10::TypePtr convertType(mlir::Type type, TypeResolver resolve);

/// The dialect's value for one that code or a class holds, or null if it has
/// none. `lookup` is asked first: it gives what a placeholder stands for, or
/// null.
mlir::Attribute
convertValue(const c10::IValue &value, mlir::MLIRContext *context,
             llvm::function_ref<mlir::Attribute(const c10::IValue &)> lookup);

} // namespace fqat

#endif // FQAT_LIB_TORCHSCRIPT_TYPES_H
