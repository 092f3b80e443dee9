//===- Model.h - Looking things up in a model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_MODEL_H
#define FQAT_SUPPORT_MODEL_H

#include "fqat/IR/FQATOps.h"

namespace fqat {

/// Emits an error if `model` is no model: if it lacks a root instance, or holds
/// something else than the dialect's own parts.
llvm::LogicalResult checkModel(mlir::ModuleOp model);

/// The model's entry: the root's `forward`, or null.
MethodOp getEntry(mlir::SymbolTable &symbols);

/// The instance that a symbol names, aliases looked through; null if none.
ModuleOp lookupInstance(mlir::SymbolTable &symbols, llvm::StringRef symbol);

/// Finds what an instance holds through aliases.
class AliasIndex {
public:
  explicit AliasIndex(mlir::ModuleOp model);

  /// The symbol itself if it lies at or below `instance`; else the same thing
  /// by a path that does, through an alias below `instance`; else the symbol.
  mlir::StringAttr findBelow(llvm::StringRef instance,
                             mlir::StringAttr symbol) const;

private:
  llvm::SmallVector<AliasOp> aliases;
};

/// The symbol of the instance in whose method an op stands; empty in a
/// function.
llvm::StringRef getInstanceOf(mlir::Operation *op);

/// An operator's name without its namespace (`cat`); of any other op, that of
/// the op without its dialect.
llvm::StringRef getShortName(mlir::Operation *op);

/// An op in the words of the model's author: `'cat' in detect`, or the instance
/// that it calls.
std::string describeOp(mlir::Operation *op);

/// The value of a slot: of a parameter, a buffer or an attribute; else null.
mlir::Attribute getSlotValue(mlir::Operation *slot);

/// The number of an object that several places hold, or 0.
int64_t getIdentity(mlir::Attribute value);

/// The same value with another number; a value that can have none stays.
mlir::Attribute withIdentity(mlir::Attribute value, int64_t identity);

/// The bytes that an attribute holds or names; nothing if they are missing, or
/// in the short form for equal bytes.
std::optional<llvm::ArrayRef<char>> getBytes(mlir::ElementsAttr attr);

/// Whether all elements of a tensor lie in a storage of so many bytes.
bool fitsInto(TensorAttr tensor, uint64_t numBytes);

/// The elements of a list, in either of the forms that a file has for it; null
/// if the value is no list.
mlir::ArrayAttr getListElements(mlir::Attribute value);

/// Whether the body does nothing and returns nothing: what tracing leaves of an
/// identity module, or of one whose result nobody reads. It may call other
/// husks.
bool isHusk(mlir::SymbolTable &symbols, MethodOp method);

/// Whether a method returns its one tensor as it is: the argument itself, or
/// what tracing leaves of a module that hides the identity from it (`x * 1`, a
/// clone, a view of the same size).
bool isIdentity(mlir::SymbolTable &symbols, MethodOp method);

/// The same, but a view and a conversion are believed to change nothing: what
/// sizes and dtype the argument has is not known.
bool mayBeIdentity(mlir::SymbolTable &symbols, MethodOp method);

/// Whether a method returns a view of its argument by sizes that it reads from
/// it: an identity, in more words than it needs.
bool isViewBySizes(MethodOp method);

/// Whether a method returns its argument and does nothing else.
bool returnsArgument(MethodOp method);

/// Whether an instance is an out_nop by its name (`name`, with an optional
/// underscore and number) or its class (`OutNop`). torch's containers are none.
bool isOutNop(ModuleOp instance, llvm::StringRef name);

} // namespace fqat

#endif // FQAT_SUPPORT_MODEL_H
