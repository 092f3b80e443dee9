//===- fqat-lsp-server.cpp - Tells editors about .mlir files -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Diagnostics, hovers, definitions and references for files of the fqat
// dialect. Knows nothing of libtorch.
//
//===----------------------------------------------------------------------===//

#include "fqat/IR/FQATOps.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Support/LLVM.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<fqat::FQATDialect>();
  return failed(mlir::MlirLspServerMain(argc, argv, registry));
}
