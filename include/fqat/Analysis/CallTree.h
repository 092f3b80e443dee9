//===- CallTree.h - The calls of one run of the model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_ANALYSIS_CALLTREE_H
#define FQAT_ANALYSIS_CALLTREE_H

#include "fqat/IR/FQATOps.h"
#include "llvm/ADT/MapVector.h"

#include <vector>

namespace fqat {

/// Emits an error where a method does what the rewrites do not follow: scripted
/// control flow, free functions, and attributes that it writes.
llvm::LogicalResult checkStraightLine(MethodOp method);

/// The calls that one run of the model's entry makes, as a tree, in the order
/// of their execution. out_nops are not calls.
class CallTree {
public:
  struct Node {
    MethodOp method;
    /// Null for the entry, which is node 0.
    CallOp call;
    unsigned parent;
  };

  /// Fails, with a diagnostic, where the model calls itself or has no entry.
  static mlir::FailureOr<CallTree> compute(mlir::ModuleOp model,
                                           mlir::SymbolTable &symbols);

  llvm::ArrayRef<Node> getNodes() const { return nodes; }

  /// The nodes of each instance that is called, by its symbol, in the order of
  /// the instances' first calls.
  const llvm::MapVector<mlir::StringAttr, llvm::SmallVector<unsigned, 1>> &
  getCalls() const {
    return calls;
  }

private:
  std::vector<Node> nodes;
  llvm::MapVector<mlir::StringAttr, llvm::SmallVector<unsigned, 1>> calls;
};

} // namespace fqat

#endif // FQAT_ANALYSIS_CALLTREE_H
