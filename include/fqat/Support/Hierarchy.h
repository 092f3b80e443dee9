//===- Hierarchy.h - Edits of the module tree -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The one place where instances, slots and methods are added, copied, renamed
// and erased, and where fresh names come from. Passes edit the tree through it
// only.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_SUPPORT_HIERARCHY_H
#define FQAT_SUPPORT_HIERARCHY_H

#include "fqat/IR/FQATOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

#include <optional>

namespace fqat {

/// Edits a model and keeps its symbol table current. What many edits ask for
/// again and again is indexed, so that an edit costs what it changes, not what
/// the model holds.
class Hierarchy {
public:
  explicit Hierarchy(mlir::ModuleOp model);
  ~Hierarchy() { commit(); }
  Hierarchy(const Hierarchy &) = delete;
  Hierarchy &operator=(const Hierarchy &) = delete;

  mlir::ModuleOp getModel() { return model; }
  mlir::SymbolTable &getSymbols() { return symbols; }

  /// Writes the names of the children that were added into their parents'
  /// `slots`. Those of one parent are written at once: the attribute is as long
  /// as the parent has children. `getMembers` knows them before.
  void commit();

  /// The methods of an instance.
  llvm::SmallVector<MethodOp> getMethods(ModuleOp instance) {
    return methodsOf.lookup(instance.getSymNameAttr());
  }
  /// The calls of a method, in no order that says anything. Who makes,
  /// redirects or erases a call other than through this class says so
  /// (`replaceCall`, `forgetCalls`).
  llvm::ArrayRef<CallOp> getCalls(MethodOp method);
  /// Notes that a call is going to be replaced by another of the same method.
  void replaceCall(CallOp from, CallOp to);
  /// Notes that `copy` is a copy of `original` that takes its place.
  void replaceCallsIn(mlir::Operation *original, mlir::Operation *copy);
  /// Has the calls looked up again when they are asked for next.
  void forgetCalls() { callsOf.reset(); }
  /// The instances, slots and aliases directly below an instance, in the order
  /// of its slots.
  llvm::SmallVector<mlir::Operation *> getMembers(ModuleOp instance);
  /// The instance and all instances below it, parents first.
  llvm::SmallVector<ModuleOp> getSubtree(ModuleOp instance);

  /// A name for a new child of `parent` that TorchScript can load and that no
  /// attribute or method of it has: `base`, or else `base` with 1, 2, ...
  /// appended, after an underscore where `base` ends in a digit. With
  /// `numbered`, a number is appended in any case.
  std::string getFreshName(ModuleOp parent, llvm::StringRef base,
                           bool numbered);

  /// Adds an empty child to `parent`, with the two attributes that every traced
  /// module has.
  ModuleOp addChild(ModuleOp parent, llvm::StringRef name,
                    llvm::StringRef className, mlir::Location loc);

  /// Copies an instance and all below it, without methods, to a new child of
  /// `parent`. With `copyTensors` the copy's tensors are equal and share
  /// nothing with the original; else they are the original's.
  ModuleOp cloneSubtree(ModuleOp source, ModuleOp parent, llvm::StringRef name,
                        bool copyTensors);

  /// Gives every slot of `instance` (not below) and its state storages of their
  /// own, with equal bits; ties between its own slots, and those that `copies`
  /// has already copied, stay.
  void untie(ModuleOp instance,
             llvm::DenseMap<mlir::Attribute, mlir::Attribute> &copies);

  /// Copies a method under the name `name`. `from` is the path of the instance
  /// that it belongs to, or of an ancestor; every symbol at or below it becomes
  /// the same symbol below `to`, and so does the copy's own instance.
  MethodOp cloneMethod(MethodOp method, llvm::StringRef from,
                       llvm::StringRef to, llvm::StringRef name);

  /// The calls of a method that `forward` comes to. All others, made by other
  /// methods of the root or below them, get a copy of the method, so that its
  /// signature may change.
  llvm::SmallVector<CallOp> separateCalls(MethodOp method);

  /// Renames a method, its calls included.
  void renameMethod(MethodOp method, llvm::StringRef name);
  void eraseMethod(MethodOp method);
  /// Takes a new method over.
  void insertMethod(MethodOp method);

  /// Erases the calls of husks, and returns how many there were. `onErase` is
  /// told of each before.
  unsigned
  eraseHuskCalls(llvm::function_ref<void(CallOp, MethodOp)> onErase = nullptr);

  /// Gives a method the name `forward`; one that has it gets the other's name.
  void makeForward(MethodOp method);

  /// Erases results of a method that no call uses, and arguments that its body
  /// does not, in the method and in its calls. Does nothing for a method that
  /// is exported or not called.
  void pruneSignature(MethodOp method);

  /// Replaces a call by one with other arguments and results; `kept` maps each
  /// old result to the index of the new one, or to nothing if it has no uses.
  CallOp rebuildCall(CallOp call, mlir::ValueRange arguments,
                     mlir::TypeRange resultTypes,
                     llvm::ArrayRef<std::optional<unsigned>> kept);

private:
  /// Appends a name to the slots of an instance.
  void addSlotName(ModuleOp instance, llvm::StringRef name);
  /// The last op of the run that declares an instance and what is below it,
  /// where new relatives go.
  mlir::Operation *getLastRelative(ModuleOp instance);
  /// Notes that relatives of `instance`, the last of which is `last`, were put
  /// behind `before`.
  void moveLastRelative(ModuleOp instance, mlir::Operation *before,
                        mlir::Operation *last);
  /// A value with storages and objects of its own.
  mlir::Attribute
  copyValue(mlir::Attribute value,
            llvm::DenseMap<mlir::Attribute, mlir::Attribute> &copies);
  /// Makes the slot `copy` hold the tensor object of the slot `original`.
  void shareTensor(mlir::Operation *original, mlir::Operation *copy);

  mlir::ModuleOp model;
  mlir::SymbolTable symbols;
  unsigned numStorages = 0;
  int64_t lastIdentity = 0;
  /// By the symbol of the instance.
  llvm::DenseMap<mlir::StringAttr, llvm::SmallVector<MethodOp>> methodsOf;
  /// By the symbol of the method; nothing while it is not known.
  std::optional<llvm::DenseMap<mlir::StringAttr, llvm::SmallVector<CallOp, 1>>>
      callsOf;
  /// The names that `slots` lack still.
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<mlir::Attribute>>
      addedSlots;
  llvm::DenseMap<mlir::Operation *, mlir::Operation *> lastRelatives;
  /// By the symbol of a name without its number: the lowest that may be free.
  llvm::StringMap<unsigned> freeNumbers;
};

/// Whether a method calls any.
bool callsMethods(MethodOp method);

} // namespace fqat

#endif // FQAT_SUPPORT_HIERARCHY_H
