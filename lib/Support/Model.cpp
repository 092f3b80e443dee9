//===- Model.cpp - Looking things up in a model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Model.h"
#include "fqat/IR/Paths.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fqat {

MethodOp getEntry(SymbolTable &symbols) {
  return symbols.lookup<MethodOp>("forward");
}

ModuleOp lookupInstance(SymbolTable &symbols, StringRef symbol) {
  Operation *op = symbols.lookup(symbol);
  if (auto alias = dyn_cast_or_null<AliasOp>(op))
    op = symbols.lookup(alias.getTarget());
  return dyn_cast_or_null<ModuleOp>(op);
}

Attribute getSlotValue(Operation *slot) {
  return llvm::TypeSwitch<Operation *, Attribute>(slot)
      .Case<ParameterOp, BufferOp, AttributeOp>(
          [](auto op) { return op.getValue(); })
      .Default([](Operation *) { return nullptr; });
}

Type getSlotType(Operation *slot) {
  return llvm::TypeSwitch<Operation *, Type>(slot)
      .Case<ParameterOp, BufferOp, AttributeOp>(
          [](auto op) { return op.getType(); })
      .Default([](Operation *) { return nullptr; });
}

bool isHusk(SymbolTable &symbols, MethodOp method) {
  SmallVector<MethodOp> worklist = {method};
  DenseSet<Operation *> seen;
  while (!worklist.empty()) {
    MethodOp current = worklist.pop_back_val();
    if (!seen.insert(current).second)
      continue;
    if (current.getNumArguments() != 0 || current.getNumResults() != 0)
      return false;
    for (Operation &op : current.getBody().front()) {
      if (auto call = dyn_cast<CallOp>(op))
        worklist.push_back(symbols.lookup<MethodOp>(call.getCallee()));
      else if (!isa<ReturnOp, ConstantOp, GetOp>(op))
        return false;
    }
  }
  return true;
}

bool isOutNop(ModuleOp instance, StringRef name) {
  if (instance.getOriginalName() == "OutNop")
    return true;
  StringRef leaf = splitPath(instance.getSymName()).second;
  if (!leaf.consume_front(name))
    return false;
  leaf.consume_front("_");
  return llvm::all_of(leaf, llvm::isDigit);
}

} // namespace fqat
