//===- Threading.h - What callers hand their callees -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// In the IR a method names any instance and any slot. In TorchScript and in
// Python it reaches what lies at or below its own instance; the rest is an
// argument of its own, from caller to callee.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_THREADING_H
#define FQAT_SUPPORT_THREADING_H

#include "fqat/Support/Model.h"

#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"

namespace fqat {

/// What each method of a model must be handed.
class Threading {
public:
  /// Instances and slots out of the reach of a method's instance, by symbol, in
  /// the order of their first need.
  using Needs = llvm::SmallSetVector<mlir::StringAttr, 4>;

  /// Fails, with a diagnostic, where a method calls itself.
  static mlir::FailureOr<Threading> compute(mlir::ModuleOp model,
                                            mlir::SymbolTable &symbols,
                                            const AliasIndex &aliases);

  const Needs &getNeeds(MethodOp method) const {
    return needs.find(method)->second;
  }
  /// All methods, callees before their callers.
  llvm::ArrayRef<MethodOp> getPostOrder() const { return postOrder; }

private:
  llvm::DenseMap<MethodOp, Needs> needs;
  llvm::SmallVector<MethodOp> postOrder;
};

} // namespace fqat

#endif // FQAT_SUPPORT_THREADING_H
