//===- Export.h - From the fqat dialect to a TorchScript file -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_EXPORT_H
#define FQAT_TORCHSCRIPT_EXPORT_H

#include "fqat/Support/Phases.h"
#include "fqat/TorchScript/Zip.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"

namespace fqat {

/// Is handed the model that a reader of the file will see; the file is not
/// written if it fails.
using ExportCheck = llvm::function_ref<llvm::LogicalResult(mlir::ModuleOp)>;

/// Writes a model as a TorchScript file. The bytes depend on the model alone,
/// not on a file name or the time.
///
/// `check`, if given, is called first, with the import of the very graphs and
/// pickles that are about to be written; calls of instances that are out_nops
/// by `nopName` are `fqat.out_nop` there, as in `importTorchScript`. `phases`,
/// if given, is told of the steps.
///
/// On failure an error is emitted at the op that cannot be written, and nothing
/// is written. Nothing is thrown. Errors of the stream are the stream's.
llvm::LogicalResult exportTorchScript(mlir::ModuleOp model,
                                      llvm::raw_ostream &os,
                                      llvm::StringRef nopName = "",
                                      ExportCheck check = nullptr,
                                      Phases *phases = nullptr);

/// The folder in an archive, whatever the file is called: equal models are
/// equal files.
inline constexpr llvm::StringLiteral kArchiveFolder = "archive/";

/// The same for a file that nobody sees before it is whole: weights go from the
/// mapped input to it while the code is printed, and by the system where that
/// can; all else is written, and brought to the disk, while `check` runs. On
/// failure, what it has got is useless.
llvm::LogicalResult exportTorchScript(mlir::ModuleOp model,
                                      ScratchArchive &scratch,
                                      llvm::StringRef nopName = "",
                                      ExportCheck check = nullptr,
                                      Phases *phases = nullptr);

/// The version of libtorch that the program runs with.
llvm::StringRef getTorchVersion();

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_EXPORT_H
