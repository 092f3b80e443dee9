//===- fqat-mlir-opt.cpp - Runs passes on textual IR -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For developers and lit tests. Knows nothing of libtorch.
//
//===----------------------------------------------------------------------===//

#include "Mutations.h"
#include "fqat/IR/FQATOps.h"
#include "fqat/Pipeline/Pipeline.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<fqat::FQATDialect>();
  fqat::registerPipelines();
  fqat::registerTestPasses();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "fqat optimizer driver\n", registry));
}
