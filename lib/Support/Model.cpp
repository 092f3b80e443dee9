//===- Model.cpp - Looking things up in a model -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/Support/Model.h"
#include "fqat/IR/Paths.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cstring>

using namespace mlir;

namespace fqat {

LogicalResult checkModel(mlir::ModuleOp model) {
  for (Operation &op : *model.getBody())
    if (!isa<ModuleOp, AliasOp, StorageOp, ParameterOp, BufferOp, AttributeOp,
             MethodOp, FunctionOp, TypedefOp, RecordOp>(op))
      return op.emitError() << "'" << op.getName() << "' is no part of a model";
  if (!model.lookupSymbol<ModuleOp>(FQATDialect::kRootName))
    return model.emitError() << "the model has no root instance";
  return success();
}

MethodOp getEntry(SymbolTable &symbols) {
  return symbols.lookup<MethodOp>("forward");
}

ModuleOp lookupInstance(SymbolTable &symbols, StringRef symbol) {
  Operation *op = symbols.lookup(symbol);
  if (auto alias = dyn_cast_or_null<AliasOp>(op))
    op = symbols.lookup(alias.getTarget());
  return dyn_cast_or_null<ModuleOp>(op);
}

AliasIndex::AliasIndex(mlir::ModuleOp model)
    : aliases(model.getOps<AliasOp>()) {}

StringAttr AliasIndex::findBelow(StringRef instance, StringAttr symbol) const {
  if (isAtOrBelow(symbol, instance))
    return symbol;
  for (AliasOp alias : aliases)
    if (isAtOrBelow(alias.getSymName(), instance) &&
        isAtOrBelow(symbol, alias.getTarget()))
      return StringAttr::get(
          symbol.getContext(),
          rebasePath(symbol, alias.getTarget(), alias.getSymName()));
  return symbol;
}

Attribute getSlotValue(Operation *slot) {
  return llvm::TypeSwitch<Operation *, Attribute>(slot)
      .Case<ParameterOp, BufferOp, AttributeOp>(
          [](auto op) { return op.getValueAttr(); })
      .Default([](Operation *) { return nullptr; });
}

int64_t getIdentity(Attribute value) {
  return llvm::TypeSwitch<Attribute, int64_t>(value)
      .Case<TensorAttr, ListAttr, DictAttr, ObjectAttr, BuildAttr>(
          [](auto attr) { return attr.getIdentity(); })
      .Default([](Attribute) { return 0; });
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

/// Whether a constant is the number one, as a number or as a tensor without
/// dimensions.
static bool isOne(SymbolTable &symbols, Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  if (!constant)
    return false;
  if (auto number = dyn_cast<IntegerAttr>(constant.getValue()))
    return number.getInt() == 1;
  if (auto number = dyn_cast<FloatAttr>(constant.getValue()))
    return number.getValueAsDouble() == 1.0;
  auto tensor = dyn_cast<TensorAttr>(constant.getValue());
  if (!tensor || !tensor.getSizes().empty())
    return false;
  auto storage = symbols.lookup<StorageOp>(tensor.getStorage().getValue());
  auto bytes = dyn_cast<DenseResourceElementsAttr>(storage.getBytes());
  AsmResourceBlob *blob = bytes ? bytes.getRawHandle().getBlob() : nullptr;
  if (!blob)
    return false;
  auto holdsOne = [&](auto one) {
    decltype(one) value;
    size_t offset = tensor.getOffset() * sizeof(value);
    if (offset + sizeof(value) > blob->getData().size())
      return false;
    memcpy(&value, blob->getData().data() + offset, sizeof(value));
    return value == one;
  };
  return (tensor.getDtype() == "int64" && holdsOne(int64_t(1))) ||
         (tensor.getDtype() == "float32" && holdsOne(1.0f)) ||
         (tensor.getDtype() == "float64" && holdsOne(1.0));
}

bool returnsArgument(MethodOp method) {
  Block &body = method.getBody().front();
  return method.getNumArguments() == 1 && method.getNumResults() == 1 &&
         llvm::hasSingleElement(body) &&
         body.getTerminator()->getOperand(0) == body.getArgument(0);
}

bool isIdentity(SymbolTable &symbols, MethodOp method) {
  if (method.getNumArguments() != 1 || method.getNumResults() != 1 ||
      !isa<TensorType>(method.getArgumentTypes().front()) ||
      !isa<TensorType>(method.getResultTypes().front()))
    return false;
  // The tensor that each op hands on, from the return backwards.
  Block &body = method.getBody().front();
  for (Operation &op : body) {
    auto oper = dyn_cast<OperatorOp>(op);
    if (!isa<ConstantOp, ListOp, GetOp, ReturnOp, OperatorOp>(op) ||
        (oper && (oper.hasWrites() || oper.getRandom() || oper.getEffects())))
      return false;
  }
  Value value = body.getTerminator()->getOperand(0);
  while (auto op = value.getDefiningOp<OperatorOp>()) {
    if (op.getNumOperands() == 0)
      return false;
    StringRef name = op.getName();
    bool hasOther = op.getNumOperands() > 1;
    bool keepsAll = name == "aten::alias" || name == "aten::detach" ||
                    name == "aten::clone" || name == "aten::contiguous";
    // In evaluation, dropout returns its argument: it draws nothing then.
    keepsAll |= name == "aten::dropout";
    keepsAll |= hasOther &&
                (name == "aten::view_as" || name == "aten::expand_as") &&
                op.getOperand(1) == op.getOperand(0);
    keepsAll |=
        hasOther && name == "aten::mul" && isOne(symbols, op.getOperand(1));
    if (!keepsAll)
      return false;
    value = op.getOperand(0);
  }
  return value == body.getArgument(0);
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
