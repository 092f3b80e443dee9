//===- Mutations.h - Bugs that a pass could have -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TOOLS_MUTATIONS_H
#define FQAT_TOOLS_MUTATIONS_H

#include "mlir/IR/BuiltinOps.h"

#include <functional>
#include <vector>

namespace fqat {

/// One kind of bug.
struct Mutation {
  llvm::StringRef name;
  /// The places of a fixed model where the bug could be, in order: each puts it
  /// in.
  std::vector<std::function<void()>> (*find)(mlir::ModuleOp model);
};

/// All kinds, in the order of their report.
llvm::ArrayRef<Mutation> getMutations();

/// Registers `--fqat-prove` and `--fqat-test-mutations`.
void registerTestPasses();

} // namespace fqat

#endif // FQAT_TOOLS_MUTATIONS_H
