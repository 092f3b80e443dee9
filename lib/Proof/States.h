//===- States.h - Two models hold the same -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_PROOF_STATES_H
#define FQAT_LIB_PROOF_STATES_H

#include "Contents.h"
#include "fqat/IR/FQATOps.h"

#include "mlir/IR/SymbolTable.h"

#include <string>

namespace fqat {

/// A difference between two models: what, and where on each side (or null).
struct Difference {
  std::string what;
  mlir::Operation *original = nullptr;
  mlir::Operation *fixed = nullptr;
  /// What the sides compute, cut to where they differ.
  std::string originalText, fixedText;
  /// What the user can do.
  std::string remedy = "report it with the model, or write the file without a "
                       "proof with --no-prove";
};

/// Compares what two models hold before they run: instances, slots, which slots
/// are one tensor, the interface. `tiesClones`: a clone holds the tensors of
/// its source; else it has its own.
std::optional<Difference>
compareStates(mlir::ModuleOp original, mlir::SymbolTable &originalSymbols,
              mlir::ModuleOp fixed, mlir::SymbolTable &fixedSymbols,
              const Contents &contents, bool tiesClones);

} // namespace fqat

#endif // FQAT_LIB_PROOF_STATES_H
