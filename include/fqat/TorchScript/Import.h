//===- Import.h - From a TorchScript file to the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_IMPORT_H
#define FQAT_TORCHSCRIPT_IMPORT_H

#include "fqat/Support/Phases.h"
#include "fqat/TorchScript/Zip.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace fqat {

/// Reads a TorchScript file (`torch.jit.save`'s zip format) into one
/// `builtin.module` of the fqat dialect, which `context` must have loaded.
///
/// The storages of the result borrow the mapped file, which stays mapped as
/// long as the context lives; the file must not be truncated meanwhile.
///
/// A call of an instance that is an out_nop by its name (`nopName`, with an
/// optional underscore and number) or its class (`OutNop`), and that returns
/// its argument, becomes an `fqat.out_nop`.
///
/// `phases`, if given, is told of the steps, and `weights` of the file's
/// weights, as soon as they are known and before anything else is.
///
/// On failure an error is emitted through the context's diagnostics (what
/// cannot be read, in which instance, at which Python line) and the result is
/// null. Nothing is thrown.
mlir::OwningOpRef<mlir::ModuleOp>
importTorchScript(llvm::StringRef path, mlir::MLIRContext *context,
                  llvm::StringRef nopName, Phases *phases = nullptr,
                  WeightWriter *weights = nullptr);

/// Loads a library that registers operators or classes with libtorch, for the
/// models that use them. It stays loaded.
llvm::Error loadOperatorLibrary(llvm::StringRef path);

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_IMPORT_H
