//===- Driver.h - Fixes or checks one model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_DRIVER_DRIVER_H
#define FQAT_LIB_DRIVER_DRIVER_H

#include "fqat/Driver/Run.h"
#include "fqat/Report/Suppressions.h"
#include "fqat/Report/Text.h"
#include "fqat/Support/Phases.h"
#include "fqat/TorchScript/Zip.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace fqat {

/// Whether a file is a model as IR, by its name.
bool isIR(llvm::StringRef path);

/// Where the fixed model of an input goes; `-` is standard output.
std::string getOutputPath(const Options &options, llvm::StringRef input);

/// Fixes or checks one file. What there is to say goes to `os`, and to `report`
/// as data.
class Driver {
public:
  Driver(const Options &options, Suppressions &suppressions,
         llvm::raw_ostream &os, ModelReport &report);
  ~Driver();

  ExitCode run();
  /// Forgets an output that is not whole.
  void discardOutput();

private:
  struct PendingOutput;

  ExitCode runSteps();
  ExitCode fail(llvm::StringRef subject, const llvm::Twine &message);
  void handle(mlir::Diagnostic &diagnostic);
  std::optional<llvm::StringRef> readSource(llvm::StringRef file);
  mlir::OwningOpRef<mlir::ModuleOp> read();
  mlir::OwningOpRef<mlir::ModuleOp> readIR();
  ExitCode runPasses(mlir::ModuleOp model);
  mlir::FailureOr<AnchorSet> getAnchors(mlir::ModuleOp model);
  ExitCode find(mlir::ModuleOp model);
  mlir::FailureOr<RunGraph> draw(mlir::ModuleOp model);
  ExitCode prove(mlir::ModuleOp model);
  ExitCode verifyFile(const std::string &path);
  ExitCode openOutput(llvm::StringRef output);
  ExitCode write(mlir::ModuleOp model, llvm::StringRef output);
  ExitCode writePython(mlir::ModuleOp model, llvm::StringRef output);
  /// `scratch` is the archive in the stream, if that is a file that nobody sees
  /// yet.
  ExitCode writeTo(mlir::ModuleOp model, llvm::raw_ostream &os,
                   ScratchArchive *scratch);
  void summariseCheck();
  void summariseFix(double seconds);

  const Options &options;
  Suppressions &suppressions;
  llvm::raw_ostream &os;
  ModelReport &report;
  const std::string &input;
  mlir::MLIRContext context;
  TextPrinter printer;
  /// The model as it was read: the passes change a copy.
  mlir::OwningOpRef<mlir::ModuleOp> original;
  std::unique_ptr<PendingOutput> pending;
  ChangeLog log{nullptr};
  Phases phases;
  /// Texts of source files; null for those that cannot be read.
  llvm::StringMap<std::unique_ptr<std::string>> sources;
};

} // namespace fqat

#endif // FQAT_LIB_DRIVER_DRIVER_H
