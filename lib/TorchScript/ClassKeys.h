//===- ClassKeys.h - Instances that can share a class -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TORCHSCRIPT_CLASSKEYS_H
#define FQAT_LIB_TORCHSCRIPT_CLASSKEYS_H

#include "fqat/IR/FQATOps.h"
#include "fqat/Support/Model.h"

#include "llvm/ADT/StringMap.h"

namespace fqat {

/// Numbers the classes that a model needs. Instances have one class if they
/// came from one and are still alike: the same slots, the same classes below,
/// and methods that differ only in the instance that they belong to.
class ClassKeys {
public:
  explicit ClassKeys(mlir::SymbolTable &symbols);

  /// The number of an instance's class.
  unsigned get(ModuleOp instance);
  /// The methods of an instance, in the model's order.
  llvm::ArrayRef<MethodOp> getMethods(ModuleOp instance);

private:
  using Numbers = llvm::DenseMap<mlir::Value, unsigned>;

  std::string makeKey(ModuleOp instance);
  void addOp(mlir::Operation &op, llvm::StringRef instance, Numbers &numbers,
             std::string &key);
  void addRegion(mlir::Region &region, llvm::StringRef instance,
                 Numbers &numbers, std::string &key);
  void addAttribute(mlir::Attribute attr, llvm::StringRef instance,
                    std::string &key);

  mlir::SymbolTable &symbols;
  AliasIndex aliases;
  llvm::DenseMap<mlir::StringAttr, llvm::SmallVector<MethodOp>> methods;
  llvm::DenseMap<ModuleOp, unsigned> classes;
  llvm::StringMap<unsigned> keys;
};

} // namespace fqat

#endif // FQAT_LIB_TORCHSCRIPT_CLASSKEYS_H
