//===- ValueWriter.h - Pickling values of the fqat dialect -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_LIB_TORCHSCRIPT_VALUEWRITER_H
#define FQAT_LIB_TORCHSCRIPT_VALUEWRITER_H

#include "fqat/IR/FQATOps.h"
#include "fqat/TorchScript/Pickle.h"

#include "llvm/ADT/SetVector.h"

namespace fqat {

/// Writes one pickle of an archive, and gathers the storages that it names.
class ValueWriter {
public:
  /// The name that the code has for the class of an instance.
  using GetClassName = llvm::function_ref<std::string(ModuleOp)>;

  explicit ValueWriter(mlir::SymbolTable &symbols);

  /// Gives the storages of slots their numbers: first those that are no copies,
  /// in the model's order, which is the input's. What is written ahead stays
  /// right that way. Others get their numbers when they are written.
  llvm::LogicalResult numberStorages();
  /// Each emits an error at `op`, or at the storage that it is about, where a
  /// value cannot be written.
  llvm::LogicalResult write(mlir::Attribute value, mlir::Operation *op);
  llvm::LogicalResult writeTuple(llvm::ArrayRef<mlir::Attribute> values,
                                 mlir::Operation *op);
  /// Writes an instance and all below it.
  llvm::LogicalResult writeInstance(ModuleOp instance,
                                    GetClassName getClassName);

  /// Writes an ordered dict of values by their names.
  llvm::LogicalResult writeOrderedDict(
      llvm::ArrayRef<std::pair<std::string, mlir::Attribute>> items,
      mlir::Operation *op);

  std::string finish() { return pickle.finish(); }
  /// The bytes of the storages, in the order of their numbers.
  llvm::ArrayRef<llvm::ArrayRef<char>> getStorages() const { return storages; }
  /// The names of the classes and functions that the values use.
  llvm::ArrayRef<llvm::StringRef> getGlobals() const {
    return globals.getArrayRef();
  }

private:
  void countUses(mlir::Attribute value);
  llvm::FailureOr<unsigned> getNumber(StorageOp storage);
  llvm::LogicalResult writeValue(mlir::Attribute value, mlir::Operation *op);
  llvm::LogicalResult writeTensor(TensorAttr tensor, mlir::Operation *op);
  llvm::LogicalResult writeStorage(mlir::FlatSymbolRefAttr symbol,
                                   llvm::StringRef dtype, mlir::Operation *op);
  llvm::LogicalResult writeItems(mlir::ArrayAttr items, mlir::Operation *op);
  /// A list or a dict, with the type that the file gives it.
  llvm::LogicalResult writeContainer(bool isList, mlir::ArrayAttr items,
                                     llvm::StringRef typeTag,
                                     mlir::Operation *op);

  mlir::SymbolTable &symbols;
  PickleWriter pickle;
  llvm::DenseMap<std::pair<mlir::Attribute, llvm::StringRef>, unsigned>
      rememberedStorages;
  llvm::DenseMap<StorageOp, unsigned> storageNumbers;
  /// What slots name: storages, among others.
  llvm::DenseSet<mlir::Attribute> usedSymbols;
  /// How many places hold an object, by its identity, and where the pickle
  /// remembers it.
  llvm::DenseMap<int64_t, unsigned> useCounts, rememberedValues;
  /// Instances that several attributes hold.
  llvm::DenseSet<ModuleOp> sharedInstances;
  llvm::DenseMap<ModuleOp, unsigned> rememberedInstances;
  llvm::SmallVector<llvm::ArrayRef<char>> storages;
  llvm::SetVector<llvm::StringRef> globals;
};

/// The bytes of a blob, or an error at `op` where they are missing.
llvm::FailureOr<llvm::ArrayRef<char>> getBlobBytes(mlir::ElementsAttr blob,
                                                   mlir::Operation *op);

} // namespace fqat

#endif // FQAT_LIB_TORCHSCRIPT_VALUEWRITER_H
